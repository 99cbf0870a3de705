"""What can happen in the shop. Each action is one transaction, but those of the opening are one together.

An ``age`` is how many seconds ago it happened: only what an empty shop opens with did not happen now.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class SignUp:
    """A customer opens an account."""

    name: str
    email: str
    country: str
    age: int = 0
    rows: int = 1


@dataclass(frozen=True)
class Move:
    """A customer moves to another country."""

    customer_id: int
    country: str
    rows: int = 1


@dataclass(frozen=True)
class CloseAccount:
    """A customer without orders leaves."""

    customer_id: int
    rows: int = 1


@dataclass(frozen=True)
class AddProduct:
    """The catalogue grows."""

    sku: str
    name: str
    category: str
    price: Decimal
    age: int = 0
    rows: int = 1


@dataclass(frozen=True)
class ChangePrice:
    """A product gets another price."""

    product_id: int
    price: Decimal
    rows: int = 1


@dataclass(frozen=True)
class SetActive:
    """A product is taken out of the catalogue, or offered again."""

    product_id: int
    active: bool
    rows: int = 1


@dataclass(frozen=True)
class Item:
    """One line of an order."""

    product_id: int
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True)
class PlaceOrder:
    """A customer orders. What became of an old order is known."""

    customer_id: int
    items: tuple[Item, ...]
    note: str | None
    age: int = 0
    status: str = "placed"

    @property
    def amount(self) -> Decimal:
        """What the order costs."""
        return sum((item.quantity * item.unit_price for item in self.items), Decimal(0))

    @property
    def rows(self) -> int:
        """Rows that the transaction changes."""
        return 1 + len(self.items)


@dataclass(frozen=True)
class SetStatus:
    """An order takes its next step."""

    order_id: int
    before: str
    after: str
    rows: int = 1


@dataclass(frozen=True)
class DeleteOrder:
    """An old order is removed, and its items with it."""

    order_id: int
    rows: int = 3


Action = (
    SignUp | Move | CloseAccount | AddProduct | ChangePrice | SetActive | PlaceOrder | SetStatus | DeleteOrder
)
