"""What happens next: decided from what the shop has, by chance alone, without any input or output."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from data_generator.actions import (
    Action,
    AddProduct,
    ChangePrice,
    CloseAccount,
    DeleteOrder,
    Item,
    Move,
    PlaceOrder,
    SetActive,
    SetStatus,
    SignUp,
)

FIRST_NAMES = (
    "Ada",
    "Bram",
    "Chiara",
    "Dmitri",
    "Elif",
    "Femi",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kaja",
    "Luis",
)
LAST_NAMES = (
    "Almeida",
    "Bauer",
    "Costa",
    "Dubois",
    "Eriksen",
    "Ferrari",
    "García",
    "Horvat",
    "Ivanova",
    "Jansen",
)
COUNTRIES = ("AT", "BE", "CH", "DE", "DK", "ES", "FR", "IT", "NL", "NO", "PL", "PT", "SE")
CATEGORIES = ("books", "garden", "kitchen", "music", "office", "sports", "toys")
ADJECTIVES = ("Blue", "Classic", "Folding", "Light", "Mini", "Quiet", "Solid", "Travel")
NOUNS = ("Bag", "Bottle", "Chair", "Lamp", "Notebook", "Radio", "Shelf", "Table", "Watch")
WORDS = (
    "please",
    "ring",
    "twice",
    "leave",
    "with",
    "the",
    "neighbour",
    "gift",
    "wrap",
    "call",
    "before",
    "noon",
)

# How likely each kind of event is, relative to the others.
WEIGHTS = {
    "order": 22,
    "step": 60,
    "return": 2,
    "delete": 1,
    "price": 6,
    "active": 2,
    "product": 1,
    "sign_up": 4,
    "move": 3,
}
STEPS = {
    "placed": (("paid", 9), ("cancelled", 1)),
    "paid": (("shipped", 30), ("cancelled", 1)),
    "shipped": (("delivered", 1),),
}
FINISHED = frozenset({"delivered", "cancelled", "returned"})
# What became of the orders of the past.
FATES = {"delivered": 87, "cancelled": 9, "returned": 4}
DAY = 86_400
# Orders of the past, however large the shop may become: the start waits for the transaction that writes them.
MOST_PAST = 2_000
# Orders under way, beyond which the shop catches up before it takes new ones.
MOST_OPEN = 200


@dataclass(frozen=True)
class Bounds:
    """How large the shop begins, and may become. Customers and products grow to twice their first number.

    A shop that has nothing yet opens with half the orders, at most 2,000, placed over the past days.
    """

    customers: int = 200
    products: int = 50
    orders: int = 10_000
    past_days: int = 60


@dataclass
class Product:
    """What a decision needs to know of a product."""

    price: Decimal
    active: bool = True


@dataclass
class Order:
    """What a decision needs to know of an order."""

    customer_id: int
    status: str = "placed"


@dataclass
class Shop:
    """The shop as the database has it, and what may happen to it."""

    bounds: Bounds
    customers: dict[int, str] = field(default_factory=dict)
    products: dict[int, Product] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the orders."""
        self._last_customer = max(self.customers, default=0)
        self._last_product = max(self.products, default=0)
        self._open = {key: None for key, order in self.orders.items() if order.status not in FINISHED}
        self._delivered = {key: None for key, order in self.orders.items() if order.status == "delivered"}
        self._orders_of = Counter(order.customer_id for order in self.orders.values())

    def random(self, seed: int, attempt: int = 0) -> Random:
        """Chance for this shop: the same for the same seed and content.

        Another attempt has other luck, so that what failed once is not tried for ever.
        """
        content = (self._last_customer, self._last_product, max(self.orders, default=0), len(self.orders))
        return Random(f"{seed} {attempt} {content}")  # noqa: S311

    def opening(self, random: Random) -> Iterator[Action]:
        """What is missing of the customers and products that the shop begins with; of an empty one, its past.

        Each is to be recorded before the next is asked for: the orders refer to customers and products.
        """
        past = 0 if self.customers or self.products or self.orders else self.bounds.past_days * DAY
        for _ in range(self.bounds.products - len(self.products)):
            yield replace(self._new_product(random, self._last_product + 1), age=past)
        missing = self.bounds.customers - len(self.customers)
        # The first one was there from the beginning, so that each order has a customer.
        came = [past, *sorted((random.randint(0, past) for _ in range(missing - 1)), reverse=True)][:missing]
        for age in came:
            yield replace(self._new_customer(random, self._last_customer + 1), age=age)
        if past:
            yield from self._past_orders(random, past, came)

    def _past_orders(self, random: Random, past: int, came: list[int]) -> Iterator[Action]:
        """Orders since so many seconds, the oldest first; each day has a few more than the one before.

        Args:
            random: Chance.
            past: Seconds since the first could be placed.
            came: How many seconds ago each customer came.
        """
        customers, products = tuple(self.customers), tuple(self.products)
        number = min(self.bounds.orders // 2, MOST_PAST)
        ages = sorted(int(past * (1 - random.random() ** 0.75)) for _ in range(number))
        for age in reversed(ages):
            there = bisect_right(came, -age, key=lambda seconds: -seconds)
            order = self._order(random, random.choice(customers[:there]), products)
            (fate,) = random.choices(tuple(FATES), tuple(FATES.values()))
            yield replace(order, age=age, status=fate)

    def next(self, random: Random) -> Action:
        """What happens next. Needs a customer and a product."""
        if len(self.orders) >= self.bounds.orders and (old := self._oldest_finished()) is not None:
            return DeleteOrder(old)
        (kind,) = random.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))
        if kind == "order" and len(self._open) < min(MOST_OPEN, self.bounds.orders):
            return self._place_order(random)
        if kind == "return" and self._delivered:
            return SetStatus(random.choice(tuple(self._delivered)), "delivered", "returned")
        if kind == "delete" and (old := self._oldest_finished()) is not None:
            return DeleteOrder(old)
        if kind == "price":
            return self._change_price(random)
        if kind == "active":
            return self._change_offer(random)
        if kind == "product" and len(self.products) < 2 * self.bounds.products:
            return self._new_product(random, self._last_product + 1)
        if kind == "sign_up":
            return self._come_or_go(random)
        if kind == "move" or not self._open:
            return self._move(random)
        return self._step(random)

    def record(self, action: Action, key: int) -> None:
        """Note what was committed. ``key`` is that of the row the action was about."""
        match action:
            case SignUp(country=country):
                self.customers[key] = country
                self._last_customer = max(self._last_customer, key)
            case Move(country=country):
                self.customers[key] = country
            case CloseAccount():
                del self.customers[key]
            case AddProduct(price=price):
                self.products[key] = Product(price)
                self._last_product = max(self._last_product, key)
            case ChangePrice(price=price):
                self.products[key].price = price
            case SetActive(active=active):
                self.products[key].active = active
            case PlaceOrder(customer_id=customer_id):
                self.orders[key] = Order(customer_id)
                self._open[key] = None
                self._set_status(key, action.status)
                self._orders_of[customer_id] += 1
            case SetStatus(after=status):
                self._set_status(key, status)
            case DeleteOrder():
                self._orders_of[self.orders.pop(key).customer_id] -= 1
                self._delivered.pop(key, None)

    def _set_status(self, order_id: int, status: str) -> None:
        self.orders[order_id].status = status
        self._delivered.pop(order_id, None)
        if status in FINISHED:
            self._open.pop(order_id, None)
        if status == "delivered":
            self._delivered[order_id] = None

    def _oldest_finished(self) -> int | None:
        return next((key for key, order in self.orders.items() if order.status in FINISHED), None)

    def _place_order(self, random: Random) -> Action:
        offered = [key for key, product in self.products.items() if product.active]
        if not offered:
            return SetActive(random.choice(tuple(self.products)), active=True)
        return self._order(random, random.choice(tuple(self.customers)), offered)

    def _order(self, random: Random, customer_id: int, offered: Sequence[int]) -> PlaceOrder:
        lines = random.sample(offered, min(len(offered), random.randint(1, 5)))
        items = tuple(Item(key, random.choice((1, 1, 1, 2, 3)), self.products[key].price) for key in lines)
        return PlaceOrder(customer_id, items, _note(random))

    def _step(self, random: Random) -> Action:
        order_id = random.choice(tuple(self._open))
        status = self.orders[order_id].status
        ((after, _),) = random.choices(STEPS[status], [weight for _, weight in STEPS[status]])
        return SetStatus(order_id, status, after)

    def _change_price(self, random: Random) -> Action:
        product_id = random.choice(tuple(self.products))
        cents = int(self.products[product_id].price * random.randint(80, 125))
        # Between one and a thousand: neither free after many cuts nor ever dearer.
        return ChangePrice(product_id, Decimal(min(max(cents, 100), 100_000)) / 100)

    def _change_offer(self, random: Random) -> Action:
        product_id = random.choice(tuple(self.products))
        return SetActive(product_id, active=not self.products[product_id].active)

    def _move(self, random: Random) -> Action:
        customer_id = random.choice(tuple(self.customers))
        return Move(customer_id, random.choice([c for c in COUNTRIES if c != self.customers[customer_id]]))

    def _come_or_go(self, random: Random) -> Action:
        if len(self.customers) < 2 * self.bounds.customers:
            return self._new_customer(random, self._last_customer + 1)
        without_orders = [key for key in self.customers if not self._orders_of[key]]
        return CloseAccount(random.choice(without_orders)) if without_orders else self._move(random)

    def _new_customer(self, random: Random, number: int) -> SignUp:
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        return SignUp(f"{first} {last}", f"{first}.{number}@example.com".lower(), random.choice(COUNTRIES))

    def _new_product(self, random: Random, number: int) -> AddProduct:
        return AddProduct(
            sku=f"P-{number:06}",
            name=f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)}",
            category=random.choice(CATEGORIES),
            price=Decimal(random.randint(199, 19_999)) / 100,
        )


def _note(random: Random) -> str | None:
    """Mostly none, sometimes a few words, seldom so long that PostgreSQL stores it out of line."""
    (length,) = random.choices((0, 6, 1500), (88, 11, 1))
    return " ".join(random.choices(WORDS, k=length)) or None
