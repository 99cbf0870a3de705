"""The shop's decisions against the schema's rules, and the traffic through outages; no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType

import psycopg2
import pytest
from data_generator.actions import (
    Action,
    AddProduct,
    ChangePrice,
    CloseAccount,
    DeleteOrder,
    Move,
    PlaceOrder,
    SetActive,
    SetStatus,
    SignUp,
)
from data_generator.database import ChangedElsewhere
from data_generator.shop import Bounds, Product, Shop
from data_generator.traffic import Traffic

SMALL = Bounds(customers=5, products=4, orders=30)
LIFE = {
    ("placed", "paid"),
    ("placed", "cancelled"),
    ("paid", "shipped"),
    ("paid", "cancelled"),
    ("shipped", "delivered"),
    ("delivered", "returned"),
}


@dataclass
class Tables:
    """The schema's tables and constraints, in memory."""

    emails: dict[int, str] = field(default_factory=dict)
    skus: dict[int, str] = field(default_factory=dict)
    prices: dict[int, Decimal] = field(default_factory=dict)
    active: dict[int, bool] = field(default_factory=dict)
    orders: dict[int, tuple[int, str]] = field(default_factory=dict)
    ages: dict[int, int] = field(default_factory=dict)
    last: int = 0

    def write(self, action: Action) -> int:
        """Do it, and assert that PostgreSQL would."""
        match action:
            case SignUp(name=name, email=email, country=country):
                assert name
                assert len(country) == 2
                assert country.isupper()
                assert email not in self.emails.values()
                self.emails[key := self._next()] = email
                self.ages[key] = action.age
            case Move(customer_id=key, country=country):
                assert key in self.emails
                assert len(country) == 2
            case CloseAccount(customer_id=key):
                assert key not in {customer for customer, _ in self.orders.values()}, "orders refer to it"
                del self.emails[key]
            case AddProduct(sku=sku, price=price):
                assert sku not in self.skus.values()
                self.skus[key := self._next()] = sku
                self.prices[key], self.active[key] = self._money(price), True
                self.ages[key] = action.age
            case ChangePrice(product_id=key, price=price):
                assert key in self.prices
                self.prices[key] = self._money(price)
            case SetActive(product_id=key, active=active):
                assert self.active[key] is not active
                self.active[key] = active
            case PlaceOrder(customer_id=customer, items=items):
                assert customer in self.emails
                assert 1 <= len(items) <= 5
                assert len({item.product_id for item in items}) == len(items)
                for item in items:
                    assert self.active[item.product_id], "not offered"
                    assert item.unit_price == self.prices[item.product_id]
                    assert item.quantity > 0
                    assert action.age <= self.ages[item.product_id], "not offered yet"
                assert action.amount == sum(item.quantity * item.unit_price for item in items) > 0
                assert 0 <= action.age <= self.ages[customer], "a customer of whom nobody knew"
                assert action.age == 0 or action.status in {"delivered", "cancelled", "returned"}
                self.orders[key := self._next()] = (customer, action.status)
                self.ages[key] = action.age
            case SetStatus(order_id=key, before=before, after=after):
                assert self.orders[key][1] == before
                assert (before, after) in LIFE
                self.orders[key] = (self.orders[key][0], after)
            case DeleteOrder(order_id=key):
                assert self.orders.pop(key)[1] in {"delivered", "cancelled", "returned"}
        return key

    def _next(self) -> int:
        self.last += 1
        return self.last

    @staticmethod
    def _money(price: Decimal) -> Decimal:
        assert 0 < price < 10**10
        assert price == round(price, 2)
        return price


def live(bounds: Bounds, seed: int, actions: int) -> Iterator[tuple[Action, Tables]]:
    """A shop from its opening on."""
    tables, shop = Tables(), Shop(bounds)
    random = shop.random(seed)
    for action in shop.opening(random):
        shop.record(action, tables.write(action))
        yield action, tables
    for _ in range(actions):
        action = shop.next(random)
        shop.record(action, tables.write(action))
        yield action, tables


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_valid_and_the_shop_stays_within_its_bounds(seed: int) -> None:
    for _, tables in live(SMALL, seed, 5000):
        assert len(tables.emails) <= 2 * SMALL.customers
        assert len(tables.skus) <= 2 * SMALL.products
        assert len(tables.orders) <= SMALL.orders


@pytest.mark.parametrize("bounds", [Bounds(1, 1, 1), Bounds(1, 1, 2)])
def test_the_smallest_shop_goes_on(bounds: Bounds) -> None:
    kinds = {type(action) for action, _ in live(bounds, 1, 3000)}
    assert {PlaceOrder, SetStatus, DeleteOrder} <= kinds


def test_everything_that_can_happen_happens() -> None:
    seen: set[object] = set()
    for action, _ in live(SMALL, 1, 5000):
        seen.add((action.before, action.after) if isinstance(action, SetStatus) else type(action))
        if isinstance(action, PlaceOrder):
            seen.add("no note" if action.note is None else "long note" if len(action.note) > 4000 else "note")
    kinds = {SignUp, Move, CloseAccount, AddProduct, ChangePrice, SetActive, PlaceOrder, DeleteOrder}
    assert seen == kinds | LIFE | {"no note", "note", "long note"}


def test_the_default_shop_has_few_orders_under_way() -> None:
    *_, (_, tables) = live(Bounds(), 1, 20_000)
    assert sum(status in {"placed", "paid", "shipped"} for _, status in tables.orders.values()) <= 200
    assert len(tables.orders) > 2000


def test_a_seed_repeats_itself_and_another_does_not() -> None:
    def story(seed: int) -> list[Action]:
        return [action for action, _ in live(SMALL, seed, 200)]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_an_empty_shop_opens_with_a_past_that_grows() -> None:
    *_, (_, tables) = live(Bounds(orders=4000, past_days=10), 1, 0)
    assert len(tables.orders) == 2000
    assert {status for _, status in tables.orders.values()} == {"delivered", "cancelled", "returned"}
    days = Counter(tables.ages[key] // 86_400 for key in tables.orders)
    assert set(days) == set(range(10))
    assert 50 < days[9] < days[5] < days[0] < 400
    ages = [tables.ages[key] for key in tables.orders]
    assert ages == sorted(ages, reverse=True), "the oldest have the lowest keys, and are deleted first"
    assert len({tables.ages[key] // 86_400 for key in tables.emails}) >= 10, "customers came one by one"


@pytest.mark.parametrize(
    "shop",
    [
        Shop(Bounds(past_days=0)),
        Shop(Bounds(), customers={1: "DE"}),
        Shop(Bounds(), products={1: Product(Decimal(1))}),
    ],
)
def test_a_shop_without_a_past_to_come_opens_now(shop: Shop) -> None:
    tables = Tables(last=1)
    for action in shop.opening(shop.random(1)):
        assert isinstance(action, SignUp | AddProduct) and action.age == 0
        shop.record(action, tables.write(action))


class FakeStore:
    """A database that fails as told: before the n-th transaction, for as long as the list has errors."""

    def __init__(self, tables: Tables, failures: dict[int, Exception]) -> None:
        self.tables, self.failures, self.transactions, self.opened = tables, failures, 0, 0
        self.shop: Shop | None = None

    def connect(self) -> FakeStore:
        self.opened += 1
        return self

    def __enter__(self) -> FakeStore:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return None

    def load(self, bounds: Bounds) -> Shop:
        self.shop = self.shop or Shop(bounds)
        return self.shop

    def commit(self, actions: Iterable[Action], record: Callable[[Action, int], None]) -> None:
        self.transactions += 1
        if failure := self.failures.pop(self.transactions, None):
            raise failure
        for action in actions:
            record(action, self.tables.write(action))


@dataclass
class FakeTime:
    """A clock that only waiting moves, and that says stop after a number of seconds."""

    stop_after: float
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return self.now >= self.stop_after

    def clock(self) -> float:
        return self.now


def run(store: FakeStore, time: FakeTime, rate: float = 10.0) -> int:
    """Run the traffic; how often it said that it is ready."""
    ready: list[None] = []
    Traffic(store.connect, time.wait, lambda: ready.append(None), rate, 1, SMALL, time.clock).run()
    return len(ready)


def test_the_rate_is_kept() -> None:
    store, time = FakeStore(Tables(), {}), FakeTime(stop_after=1000)
    assert run(store, time, rate=5.0) == 1
    # Transactions have 1 to 6 rows each, 5 rows a second.
    assert 1000 < store.transactions < 5000


def test_it_opens_the_shop_again_after_outages_with_growing_pauses() -> None:
    away = psycopg2.OperationalError("the database system is shutting down")

    class Away(FakeStore):
        def connect(self) -> FakeStore:
            super().connect()
            if 2 <= self.opened <= 4:
                raise away
            return self

    store, time = Away(Tables(), {3: away}), FakeTime(stop_after=60)
    assert run(store, time) == 2
    assert [pause for pause in time.pauses if pause >= 1] == [1, 2, 4, 8]
    assert store.opened == 5


def test_it_looks_again_when_somebody_else_changed_the_shop() -> None:
    store = FakeStore(Tables(), {5: ChangedElsewhere("order 7 found no such row")})
    assert run(store, FakeTime(stop_after=20)) == 2


def test_it_stops_while_the_database_is_away() -> None:
    class Gone(FakeStore):
        def connect(self) -> FakeStore:
            raise psycopg2.OperationalError("no route to host")

    assert run(Gone(Tables(), {}), FakeTime(stop_after=10)) == 0
