"""What was lost or spoilt is made again: by a new snapshot, from bronze; and rows are erased."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.running_lab import ROOT, Lab, eventually


def add_product(lab: Lab, name: str) -> int:
    """A product that nobody buys, once it is in silver."""
    ((product,),) = lab.psql(
        "insert into products (sku, name, category, price, active) "
        f"values (clock_timestamp(), '{name}', 'tests', 1, false) returning product_id"
    )
    current = f"select 1 from silver.products where product_id = {product}"
    eventually("the product in silver", lambda: lab.sql(current))
    return int(product)


def history(lab: Lab, product: int) -> list[dict[str, str]]:
    """The product's versions."""
    return lab.sql(
        f"select version, is_current, valid_to from silver.products_history where product_id = {product}"
    )


def delete_unseen(lab: Lab, product: int) -> None:
    """Delete a product while the publication has no products."""
    lab.psql("alter publication lakehouse drop table products")
    try:
        lab.psql(f"delete from products where product_id = {product}")
    finally:
        lab.psql("alter publication lakehouse add table products")


@pytest.mark.long
def test_a_new_snapshot_closes_what_was_deleted_unseen(lab: Lab) -> None:
    """Also what the snapshot before had: Debezium may tell both at the same LSN."""
    products = json.dumps({"resnapshot_tables": ["public.products"]})
    first, second, kept = (add_product(lab, name) for name in ("First", "Second", "Kept"))
    for gone in (first, second):
        delete_unseen(lab, gone)
        lab.playbook("resnapshot", "-e", products)
        (version,) = history(lab, gone)
        assert version["is_current"] == "False"
        assert version["valid_to"]
        assert [version["is_current"] for version in history(lab, kept)] == ["True"]
    lab.psql(f"delete from products where product_id = {kept}")


@pytest.mark.long
def test_a_lost_slot_is_recovered_from(lab: Lab) -> None:
    gone = add_product(lab, "Gone")
    lab.run("node1", "systemctl", "stop", "debezium")
    lab.psql("select pg_drop_replication_slot('lakehouse')")
    lab.psql(f"delete from products where product_id = {gone}")
    lab.run("node1", "systemctl", "start", "--no-block", "debezium")
    eventually("the loss is told", lambda: lab.make("status", check=False).returncode)
    lab.playbook("resnapshot", "-e", "resnapshot_tables=all")
    assert [version["is_current"] for version in history(lab, gone)] == ["False"]
    assert "no difference" in lab.make("verify").stdout


@pytest.mark.long
def test_silver_and_gold_made_again_are_the_same(lab: Lab) -> None:
    ((now,),) = lab.psql("select now() at time zone 'utc'")
    of_then = (
        "select count(*) as versions, "
        "sum(hash(order_id, status, amount, version, valid_from, valid_to)) as sum "
        f"from silver.orders_history where valid_to < timestamp'{now}'"
    )
    eventually("silver younger than now", lambda: lab.sql(of_then.replace("<", ">"))[0]["versions"] != "0")
    before = lab.sql(of_then)
    assert before[0]["versions"] != "0"
    lab.playbook("rebuild")
    assert lab.sql(of_then) == before
    assert "no difference" in lab.make("verify").stdout


def change(lab: Lab, statement: str) -> None:
    """Change a table behind the pipeline's back; the pipeline may commit meanwhile, and win."""
    eventually(statement, lambda: lab.run("node2", "lakehouse-sql", statement, check=False))


@pytest.mark.long
def test_verify_names_a_fault_in_each_layer(lab: Lab) -> None:
    """What verify names is mended: bronze from its own past, silver and gold from bronze."""
    lost, doubled = add_product(lab, "Lost"), add_product(lab, "Doubled")
    overlapping = add_product(lab, "Overlapping")
    lab.psql(f"update products set price = 2 where product_id = {overlapping}")
    eventually("two versions", lambda: len(history(lab, overlapping)) == 2)
    lab.psql(
        "insert into orders (customer_id, amount, created_at) "
        "select min(customer_id), 1, timestamp with time zone '2001-02-03 12:00:00Z' from customers"
    )
    quiet = "select orders from gold.kpis where day = date'2001-02-03'"
    eventually("the quiet day in gold", lambda: lab.sql(quiet))
    event = "topic = 'cdc.public.products' and op = 'c' and value like '%\"name\":\"{}\"%'"
    (newest,) = lab.sql("describe history bronze.change_events limit 1")
    before = newest["version"]
    only_added_to = "alter table bronze.change_events set tblproperties ('delta.appendOnly' = '{}')"
    lab.run("node2", "lakehouse-sql", only_added_to.format("false"))
    change(lab, f"delete from bronze.change_events where {event.format('Lost')}")
    change(
        lab,
        "insert into bronze.change_events by name select * except (ingested_at), "
        "timestamp'2001-01-01 00:00:00' as ingested_at from bronze.change_events "
        f"where {event.format('Doubled')}",
    )
    change(lab, f"delete from silver.products_versions where product_id = {lost}")
    change(
        lab,
        "update silver.products_versions set valid_to_position.offset = valid_to_position.offset + 1 "
        f"where product_id = {overlapping} and version = 1",
    )
    change(lab, "update gold.kpis set orders = orders + 1 where day = date'2001-02-03'")

    seen = lab.make("verify", check=False)
    assert seen.returncode != 0
    for words in (
        "bronze change_events: no offset missing: 1 differences",
        "bronze change_events: each offset once: 1 differences",
        "silver products: current rows equal the source: 1 differences",
        "silver products_history: no overlap: 1 differences",
        "gold kpis: equals its computation from silver: 1 differences",
    ):
        assert words in seen.stdout
    assert f"product_id={lost}" in seen.stdout and f"product_id={overlapping} version 1" in seen.stdout

    change(lab, "delete from bronze.change_events where ingested_at < timestamp'2002-01-01'")
    change(
        lab,
        "insert into bronze.change_events select * from bronze.change_events "
        f"version as of {before} where {event.format('Lost')}",
    )
    lab.run("node2", "lakehouse-sql", only_added_to.format("true"))
    lab.playbook("rebuild")
    assert "no difference" in lab.make("verify").stdout
    lab.psql(
        f"delete from products where product_id in ({lost}, {doubled}, {overlapping}); "
        "delete from orders where created_at < '2002-01-01'"
    )


@pytest.mark.long
def test_erased_rows_are_nowhere(lab: Lab) -> None:
    product = add_product(lab, "A secret name")
    rows = json.dumps({"erase_rows": {"public.products": [{"product_id": product}]}})
    refused = lab.playbook("erase", "-e", rows, check=False)
    assert refused.returncode
    assert "Delete it there" in refused.stdout
    lab.psql(f"delete from products where product_id = {product}")
    lab.playbook("erase", "-e", rows)
    assert history(lab, product) == []
    told = lab.sql("select count(*) as events from bronze.change_events where value like '%A secret name%'")
    assert told == [{"events": "0"}]
    never = 2_000_000_000
    keys = [{"product_id": never}, {"product_id": product}]
    missed = lab.playbook("erase", "-e", json.dumps({"erase_rows": {"public.products": keys}}), check=False)
    assert missed.returncode
    said = " ".join(missed.stdout.split())
    assert "The lakehouse has nothing of public.products" in said and str(never) in said
    assert "no difference" in lab.make("verify").stdout


PLANT = """
import json, sys
from confluent_kafka import Producer
producer, found = Producer({"bootstrap.servers": "node1:9092"}), []
for key, value in json.load(sys.stdin):
    producer.produce(
        "cdc.public.products", value, key, on_delivery=lambda error, sent: found.append(sent.offset())
    )
producer.flush(30)
print(json.dumps(found))
"""
"""Sends records as they are, and tells their offsets."""


@pytest.mark.long
def test_quarantine_has_what_is_no_event_and_nothing_else(lab: Lab) -> None:
    there = "select `offset` from bronze.quarantine where topic = 'cdc.public.products'"
    before = {int(row["offset"]) for row in lab.sql(there)}
    source = {"lsn": 1, "txId": 1, "ts_us": 1, "schema": "public", "table": "products", "snapshot": "false"}
    row = {"product_id": 1, "sku": "x", "name": "x", "category": "x", "price": "dear", "active": True}
    key = json.dumps({"product_id": 1})
    bad = [
        (key, "{no JSON"),
        (key, json.dumps({"hello": 1})),
        (key, json.dumps({"before": None, "after": row, "source": source, "op": "u"})),
        (None, json.dumps({"before": None, "after": row | {"price": "1.00"}, "source": source, "op": "u"})),
    ]
    python = "/opt/cdc-lakehouse/tools/bin/python"
    planted = set(json.loads(lab.run("node1", python, "-c", PLANT, stdin=json.dumps(bad))))
    assert len(planted) == len(bad)
    add_product(lab, "Good")  # after them, in silver
    assert {int(row["offset"]) for row in lab.sql(there)} - before == planted
    assert lab.pipeline()["quarantine"]["public.products"] == len(before | planted)
    assert not lab.make("status", check=False).returncode
    assert "no difference" in lab.make("verify").stdout


@contextmanager
def traffic(lab: Lab, statement: str) -> Iterator[None]:
    """Run a statement again and again meanwhile."""
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.5):
            lab.psql(statement)

    with ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        try:
            yield
        finally:
            stop.set()
        writer.result()


EVERY_TYPE = (
    (ROOT / "molecule/debezium/every_type.sql").read_text(encoding="utf-8").partition("CREATE TABLE visits")
)
NO_NAMES = ["c[1], $ (é)", "m{x}|+"]  # which columns of Delta cannot have
EDGES = """
insert into every_type (id) values (1);
insert into every_type (
    id, c_boolean, c_smallint, c_integer, c_bigint, c_real, c_double, c_numeric, c_numeric_12_2, c_text,
    c_varchar, c_char, c_bytea, c_date, c_timestamp, c_timestamptz, c_integers, c_texts, c_bits, c_json,
    c_long)
values (
    2, false, -32768, -1073741824, -9223372036854775808, 'Infinity', '-Infinity', 'NaN', -9999999999.99, '',
    E'\\t"\\n', '', '', '9999-12-31', '1900-01-01 00:00:00.000001', '9999-12-31 23:59:59.999999+00', '{}',
    '{"",NULL}', B'0000', '{"b": 1.10}', repeat('Grüße', 5000));
"""


@pytest.mark.long
def test_a_table_that_is_added_brings_the_rows_that_it_has(lab: Lab) -> None:
    """While an application goes on to write to it, so that Kafka has changes before the snapshot is taken.

    Of another one the columns are of every type, one of them generated, and the values at their edges.
    """
    lab.psql(EVERY_TYPE[0] + EDGES)
    lab.psql(
        "create table if not exists parcels (carrier text, number int, weight numeric(6,2), recipient text, "
        "primary key (carrier, number)) partition by list (carrier)"
    )
    for carrier in ("a", "b"):
        lab.psql(
            f"create table if not exists parcels_{carrier} partition of parcels for values in ('{carrier}')"
        )
    lab.psql("insert into parcels values ('a', 1, 1.5, 'Ada'), ('b', 1, 2.25, null), ('a', 2, 0, null)")
    tables: list[dict[str, Any]] = [
        {"name": f"public.{name}"} for name in ("customers", "products", "orders", "order_items")
    ]
    tables.append({"name": "public.parcels", "mask": ["recipient"]})
    tables.append({"name": "public.every_type", "exclude": ["secret", *NO_NAMES]})
    with traffic(lab, "update parcels set weight = weight + 1 where number = 2"):
        lab.playbook("site", "-e", json.dumps({"lakehouse_tables": tables}))
    current = "select carrier, number, weight from silver.parcels where number = 1 order by carrier"
    rows = eventually("the rows that were there", lambda: lab.sql(current))
    assert [(row["carrier"], row["number"], row["weight"]) for row in rows] == [
        ("a", "1", "1.50"),
        ("b", "1", "2.25"),
    ]
    lab.psql("update parcels set weight = 3 where carrier = 'b'")
    lab.psql("insert into every_type (id, c_integer) values (3, 2); update every_type set c_smallint = 32767")
    changed = "select 1 from silver.every_type where c_smallint = 32767 having count(*) = 3"
    eventually("every type's changes", lambda: lab.sql(changed))
    history = "select weight from silver.parcels_history where carrier = 'b' order by version"
    rows = eventually("the change", lambda: rows if len(rows := lab.sql(history)) == 2 else None)
    assert [row["weight"] for row in rows] == ["2.25", "3.00"]
    again = lab.playbook("site", "-e", json.dumps({"lakehouse_tables": tables}))
    assert "changed=0" in again.stdout
    hashed = lab.sql(
        "select coalesce(length(recipient), 0) as digits from silver.parcels "
        "where number = 1 order by carrier"
    )
    assert [row["digits"] for row in hashed] == ["64", "0"]
    assert "no difference" in lab.playbook("verify", "-e", json.dumps({"lakehouse_tables": tables})).stdout
    tables[-2:] = [{"name": "public.parcels"}, {"name": "public.every_type", "exclude": NO_NAMES}]
    lab.playbook("site", "-e", json.dumps({"lakehouse_tables": tables}))
    clear = "select 1 from silver.parcels where recipient = 'Ada'"
    eventually("the rows of which nothing is masked any more", lambda: lab.sql(clear))
    shown = "select count(*) as rows from silver.every_type where secret is not null"
    eventually("what is left out no more", lambda: lab.sql(shown)[0]["rows"] == "3")
    lab.playbook("site")
    assert "parcels" not in str(lab.sql("show tables in silver"))
    assert "no difference" in lab.make("verify").stdout
    lab.psql("drop table parcels, every_type; drop type mood; drop extension hstore")
