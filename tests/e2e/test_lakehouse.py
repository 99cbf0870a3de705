"""A row's way from a commit in PostgreSQL to numbers, seen with the commands that a user has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from tests.e2e.running_lab import Lab, eventually


@dataclass(frozen=True)
class Purchase:
    """A customer, a product and an order of it, which the data generator does not know."""

    customer: int
    product: int
    order: int


@pytest.fixture(scope="module")
def purchase(lab: Lab) -> Iterator[Purchase]:
    """Three pieces at 7.25, bought now; gone again afterwards."""
    ((customer, product, order),) = lab.psql("""
        with someone as (
            insert into customers (name, email, country)
            values ('By Hand', 'by.hand.' || clock_timestamp() || '@example.org', 'DE')
            returning customer_id),
        something as (
            insert into products (sku, name, category, price, active)
            values ('HAND-' || clock_timestamp(), 'Made by hand', 'tests', 7.25, false)
            returning product_id),
        purchase as (
            insert into orders (customer_id, amount)
            select customer_id, 21.75 from someone returning order_id),
        line as (
            insert into order_items select order_id, 1, product_id, 3, 7.25 from purchase, something)
        select customer_id, product_id, order_id from someone, something, purchase""")
    yield Purchase(int(customer), int(product), int(order))
    # The generator may sell the product, too, or to the customer.
    lab.psql(f"""
        begin;
        lock table orders, order_items in share row exclusive mode;
        delete from orders where customer_id = {customer}
            or order_id in (select order_id from order_items where product_id = {product});
        delete from customers where customer_id = {customer};
        delete from products where product_id = {product};
        commit""")


def test_an_order_committed_now_shows_in_gold(lab: Lab, purchase: Purchase) -> None:
    query = (
        f"select orders, units, revenue from gold.sales_by_product_day where product_id = {purchase.product}"
    )
    (row,) = eventually("the sale in gold", lambda: lab.sql(query))
    assert (int(row["orders"]), int(row["units"]), Decimal(row["revenue"])) == (1, 3, Decimal("21.75"))


def test_a_row_that_breaks_a_quality_rule_is_kept_flagged_and_counted(lab: Lab, purchase: Purchase) -> None:
    """The product's category, tests, is none that the lab's rules accept."""
    product = f"select name, _quality from silver.products where product_id = {purchase.product}"
    (row,) = eventually("the product in silver", lambda: lab.sql(product))
    assert (row["name"], "category_in" in row["_quality"]) == ("Made by hand", True)
    counts = "select rule, broken_rows from silver.quality where table_name = 'products'"
    broken = {row["rule"]: int(row["broken_rows"]) for row in lab.sql(counts)}
    assert broken["category_in"] >= 1 and broken["price_range"] == 0
    eventually("the count", lambda: lab.status()["quality"]["products"]["broken_rows"]["category_in"])


def test_a_row_updated_by_hand_leaves_a_closed_and_an_open_version_and_moves_gold(
    lab: Lab, purchase: Purchase
) -> None:
    lab.psql(f"update orders set status = 'cancelled', updated_at = now() where order_id = {purchase.order}")
    history = f"select * from silver.orders_history where order_id = {purchase.order} order by version"
    closed, current = eventually("two versions", lambda: rows if len(rows := lab.sql(history)) == 2 else None)
    assert (closed["status"], closed["is_current"]) == ("placed", "False")
    assert (current["status"], current["is_current"]) == ("cancelled", "True")
    assert closed["valid_to"] == current["valid_from"]
    assert not current["valid_to"]
    assert [closed["version"], current["version"]] == ["1", "2"]

    of_it = f"where order_id = {purchase.order}"
    ((updated_at,),) = lab.psql(
        f"select (extract(epoch from updated_at) * 1000000)::bigint from orders {of_it}"
    )
    (row,) = lab.sql(f"select unix_micros(updated_at) as updated_at from silver.orders {of_it}")
    assert row["updated_at"] == updated_at

    value = f"select revenue, orders from gold.customer_value where customer_id = {purchase.customer}"
    (row,) = eventually(
        "the cancellation in gold", lambda: [row for row in lab.sql(value) if Decimal(row["revenue"]) == 0]
    )
    assert row["orders"] == "1"
    sold = f"select * from gold.sales_by_product_day where product_id = {purchase.product}"
    assert eventually("no sale any more", lambda: not lab.sql(sold))


def test_a_deleted_row_leaves_its_history(lab: Lab, purchase: Purchase) -> None:
    lab.psql(f"delete from orders where order_id = {purchase.order}")
    current = f"select 1 from silver.orders where order_id = {purchase.order}"
    assert eventually("the row is gone", lambda: not lab.sql(current))
    history = lab.sql(
        f"select is_current, valid_to from silver.orders_history where order_id = {purchase.order}"
    )
    assert history
    assert all(row["is_current"] == "False" and row["valid_to"] for row in history)


def test_the_status_is_healthy_and_tells_lag_and_latency(lab: Lab) -> None:
    status = eventually("a healthy status", lambda: seen if (seen := lab.status())["healthy"] else None)
    assert status["nodes"].keys() == set(lab.nodes)
    assert status["slot"]["lag_bytes"] >= 0
    assert status["kafka_lag_records"] >= 0
    for layer in status["layers"].values():
        assert layer["freshness_seconds"] < 240
        assert 0 < layer["latency_seconds"]["p50"] <= layer["latency_seconds"]["p95"]
    card = status["card"]
    assert card["query_seconds"] > 0
    for point, seconds in card["latency_seconds"].items():
        assert seconds > status["layers"]["gold"]["latency_seconds"][point]
    shown = lab.make("status").stdout
    assert "commit to layer" in shown and "commit to its result" in shown


def test_a_stopped_service_is_named_with_what_to_do(lab: Lab) -> None:
    lab.run("node1", "systemctl", "stop", "data-generator")
    try:
        seen = lab.make("status", check=False)
        assert seen.returncode != 0
        assert "data-generator on node1 is inactive" in seen.stdout
        assert "journalctl -u data-generator" in seen.stdout
    finally:
        lab.run("node1", "systemctl", "start", "data-generator")


def test_verify_finds_every_table_filled_and_equal(lab: Lab) -> None:
    seen = lab.make("verify").stdout
    for table in ("customers", "products", "orders", "order_items"):
        counts = re.search(rf"^public\.{table} +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)", seen, re.MULTILINE)
        assert counts, seen
        assert all(int(count) > 0 for count in counts.groups()), seen
    assert "no difference" in seen


@pytest.mark.long
def test_verify_finds_a_changed_number_in_gold(lab: Lab) -> None:
    """The number of a day long gone: nothing but verify would ever look at it."""
    lab.run(
        "node2",
        "lakehouse-sql",
        "insert into gold.orders_per_minute values (timestamp'2001-01-01 00:00:00', 7, 1)",
    )
    try:
        seen = lab.make("verify", check=False)
        assert seen.returncode != 0
        assert "gold orders_per_minute: equals its computation from silver: 1 differences" in seen.stdout
        assert "should not be there" in seen.stdout
    finally:
        # The pipeline may merge into the table meanwhile, and win; else the number of deleted rows is told.
        delete = "delete from gold.orders_per_minute where minute < timestamp'2002-01-01'"
        eventually("the number is gone", lambda: lab.run("node2", "lakehouse-sql", delete, check=False))
