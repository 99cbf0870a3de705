"""The shop's changes, seeded: what Debezium would have told Kafka of a shop that was open for months.

Every value follows from the row's number, so that a row can be told again without being remembered. The
shop takes 2,500 orders a day, of one or two items. An order is placed, paid, shipped and at last delivered,
when the next 2 % of all orders have come: the newest 2 % are under way. A new customer comes with every tenth
order, and the newest 100 are who order; the products stay. A longer history is more days, not busier ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
from lakehouse.config import Column, Table
from lakehouse.envelope import RECORDS, Envelopes

TOPIC_PREFIX = "cdc"
EPOCH = "0001/7/1/bench"
PRODUCTS = 500

_TIME = "timestamp with time zone"
_COLUMNS = {
    "customers": {
        "customer_id": "bigint",
        "name": "text",
        "email": "text",
        "country": "text",
        "created_at": _TIME,
        "updated_at": _TIME,
    },
    "products": {
        "product_id": "bigint",
        "sku": "text",
        "name": "text",
        "category": "text",
        "price": "numeric(12,2)",
        "active": "boolean",
        "created_at": _TIME,
        "updated_at": _TIME,
    },
    "orders": {
        "order_id": "bigint",
        "customer_id": "bigint",
        "status": "text",
        "amount": "numeric(12,2)",
        "currency": "text",
        "note": "text",
        "created_at": _TIME,
        "updated_at": _TIME,
    },
    "order_items": {
        "order_id": "bigint",
        "line_no": "integer",
        "product_id": "bigint",
        "quantity": "integer",
        "unit_price": "numeric(12,2)",
    },
}
_KEYS = {
    "customers": ("customer_id",),
    "products": ("product_id",),
    "orders": ("order_id",),
    "order_items": ("order_id", "line_no"),
}
TABLES = tuple(
    Table(
        f"public.{name}",
        _KEYS[name],
        tuple(Column(column, kind) for column, kind in columns.items()),
        tuple(column for column in columns if column not in _KEYS[name]),
    )
    for name, columns in _COLUMNS.items()
)
_TOPICS = {f"{TOPIC_PREFIX}.{table.name}": table for table in TABLES}
_VALUE = (
    b'{"before":%(before)b,"after":%(after)b,"source":{"version":"3.6.0.Final","connector":"postgresql","name":"cdc",'
    b'"ts_ms":%(ms)d,"snapshot":"false","db":"shop","sequence":"[\\"%(lsn)d\\",\\"%(lsn)d\\"]","ts_us":%(us)d,'
    b'"ts_ns":%(us)d000,"schema":"public","table":"%(table)b","txId":%(tx)d,"lsn":%(lsn)d,"xmin":null},'
    b'"transaction":null,"op":"%(op)b","ts_ms":%(ms)d,"ts_us":%(us)d,"ts_ns":%(us)d000}'
)
_STEPS = (("paid", 5), ("shipped", 10), ("delivered", 20))
"""What becomes of an order, and when: so many of a thousand of all orders later."""

_OPENED = datetime(2025, 1, 1, tzinfo=UTC)
_OPENED_AT = int(_OPENED.timestamp()) * 1_000_000
_ORDERS_A_DAY = 2500
_BETWEEN_ORDERS = 86_400_000_000 // _ORDERS_A_DAY  # microseconds
_WHO_ORDER = 100
_COUNTRIES = ("AT", "BE", "CH", "DE", "DK", "ES", "FR", "IT", "NL", "NO", "PL", "PT", "SE")
_CATEGORIES = ("books", "garden", "kitchen", "music", "office", "sports", "toys")

Row = dict[str, Any]
Change = tuple[str, str, Row, int]
"""A table, an op, the row after it, and when, in microseconds since 1970."""


@dataclass
class Shop:
    """A shop, and how far its changes have come.

    Attributes:
        orders: How many orders it has.
        offsets: The next offset of each table's topic.
        changes: How many changes there were.
        batches: How many batches were made after the history.
    """

    orders: int = 0
    offsets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COLUMNS, 0))
    changes: int = 0
    batches: int = 0

    def history(self, rows: int) -> Iterator[Change]:
        """The changes that make a history of so many rows in orders, about a quarter of them the latest."""
        for number in range(1, PRODUCTS + 1):
            yield "products", "c", _product(number), _OPENED_AT
        orders = rows * 1000 // (4000 - sum(share for _, share in _STEPS))
        steps = [(status, orders * share // 1000) for status, share in _STEPS]
        for number in range(1, orders + 1):
            yield from self._place(number)
            for status, later in steps:
                if number > later:
                    at = _moment(number)
                    yield "orders", "u", _order(number - later, status, at), at

    def batch(self, *, of_any_age: bool = False) -> Iterator[Change]:
        """The next 1,000 changes.

        Args:
            of_any_age: Whether they are new states of any orders. Otherwise they are 200 new orders with
                items and customers, and new states of the last day's orders: what they touch is the same
                however long the history is.
        """
        self.batches += 1
        dice = random.Random(f"batch {self.batches}")  # noqa: S311
        new = range(0) if of_any_age else range(self.orders + 1, self.orders + 201)
        placed = [change for number in new for change in self._place(number)]
        yield from placed
        first = 1 if of_any_age else max(1, self.orders - _ORDERS_A_DAY + 1)
        at = _moment(self.orders) + self.batches
        for number in dice.sample(range(first, self.orders + 1), 1000 - len(placed)):
            yield "orders", "u", _order(number, dice.choice(("delivered", "returned")), at), at

    def _place(self, number: int) -> Iterator[Change]:
        self.orders, at = number, _moment(number)
        if number % 10 == 1:
            yield "customers", "c", _customer(number // 10 + 1), at
        yield "orders", "c", _order(number, "placed", at), at
        for line in range(1, 2 + number % 2):
            yield "order_items", "c", _item(number, line), at

    def records(self, changes: Iterable[Change]) -> pa.Table:
        """The Kafka records of changes."""
        columns: list[list[Any]] = [[], [], [], []]
        for name, op, row, at in changes:
            self.changes += 1
            told = (f"{TOPIC_PREFIX}.public.{name}", self.offsets[name], *self._told(name, op, row, at))
            self.offsets[name] += 1
            for column, value in zip(columns, told, strict=True):
                column.append(value)
        topics, offsets, keys, values = columns
        zeros = [0] * len(topics)
        none: list[Any] = [[]] * len(topics)
        return pa.table([topics, zeros, offsets, zeros, none, keys, values], schema=RECORDS)

    def _told(self, name: str, op: str, row: Row, at: int) -> tuple[bytes, bytes]:
        lsn, tx = 24_000_000 + 160 * self.changes, 700 + self.changes // 3
        key = orjson.dumps({key: row[key] for key in _KEYS[name]})
        before = (
            orjson.dumps(row | {"status": "placed", "updated_at": row["created_at"]})
            if op == "u"
            else b"null"
        )
        value = _VALUE % {
            **{b"before": before, b"after": orjson.dumps(row), b"table": name.encode(), b"op": op.encode()},
            **{b"ms": at // 1000, b"us": at, b"lsn": lsn, b"tx": tx},
        }
        return key, value


def bronze_rows(records: pa.Table) -> pa.Table:
    """The rows of bronze that the jobs make of records."""
    return _ENVELOPES.bronze_rows(records, dict.fromkeys(_TOPICS, EPOCH), 0)


_ENVELOPES = Envelopes(_TOPICS)


def _moment(order: int) -> int:
    """When an order is placed: microseconds since 1970."""
    return _OPENED_AT + order * _BETWEEN_ORDERS


def _chance(number: int, salt: int) -> int:
    """Always the same for a number, and like chance from one to the next."""
    return ((number * 0x9E3779B97F4A7C15 + salt * 0xBF58476D1CE4E5B9) % (1 << 64)) >> 24


def _told_time(at: int) -> str:
    seconds, micros = divmod(at - _OPENED_AT, 1_000_000)
    return f"{(_OPENED + timedelta(seconds=seconds)).isoformat()[:19]}.{micros:06d}Z"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _customer(number: int) -> Row:
    at = _told_time(_moment(number * 10 - 9))
    name = f"Customer {number}"
    country = _COUNTRIES[_chance(number, 1) % len(_COUNTRIES)]
    told = {"customer_id": number, "name": name, "email": f"{number}@example.com", "country": country}
    return told | {"created_at": at, "updated_at": at}


def _product(number: int) -> Row:
    at = _told_time(_OPENED_AT)
    category = _CATEGORIES[_chance(number, 2) % len(_CATEGORIES)]
    told = {"product_id": number, "sku": f"P-{number:06}", "name": f"Product {number}", "category": category}
    return told | {"price": _price(number), "active": True, "created_at": at, "updated_at": at}


def _price(product: int) -> str:
    return _money(199 + _chance(product, 3) % 19_800)


def _order(number: int, status: str, updated: int) -> Row:
    newest = (number - 1) // 10 + 1
    customer = newest - _chance(number, 4) % min(newest, _WHO_ORDER)
    note = "please leave it with the neighbour" if _chance(number, 5) % 8 == 0 else None
    told = {"order_id": number, "customer_id": customer, "status": status, "currency": "EUR", "note": note}
    told["amount"] = _money(199 + _chance(number, 6) % 50_000)
    return told | {"created_at": _told_time(_moment(number)), "updated_at": _told_time(updated)}


def _item(order: int, line: int) -> Row:
    product = 1 + _chance(order * 8 + line, 7) % PRODUCTS
    quantity = 1 + _chance(order * 8 + line, 8) % 3
    told = {"order_id": order, "line_no": line, "product_id": product, "quantity": quantity}
    return told | {"unit_price": _price(product)}
