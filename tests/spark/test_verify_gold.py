"""verify computes gold a second time, gets what the models give, and sees a stale or changed row."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lakehouse import models
from lakehouse_verify import gold
from lakehouse_verify.finding import Finding
from lakehouse_verify.gold_queries import QUERIES, Query
from lakehouse_verify.rows import RunSql
from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

MODELS = {model.name: model for model in models.load_all(Path(__file__).parents[2] / "files/gold")}
TIMES = "created_at timestamp, updated_at timestamp"
TABLES = {
    "customers": f"customer_id bigint, name string, email string, country string, {TIMES}",
    "products": f"product_id bigint, sku string, name string, category string, price decimal(12,2), {TIMES}",
    "orders": f"order_id bigint, customer_id bigint, status string, amount decimal(12,2), {TIMES}",
    "order_items": "order_id bigint, line_no int, product_id bigint, quantity int, unit_price decimal(12,2)",
}
NOTE = "spark.databricks.delta.commitInfo.userMetadata"
STATUSES = ("placed", "paid", "shipped", "delivered", "cancelled", "returned")
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def shop(seed: int) -> dict[str, list[tuple[Any, ...]]]:
    """A small shop, with customers without orders, products without sales, and orders without lines."""
    dice = random.Random(seed)

    def moment() -> datetime:
        return BEGIN + timedelta(seconds=dice.randrange(4 * 86400), microseconds=dice.randrange(1_000_000))

    def price() -> Decimal:
        return Decimal(dice.randrange(1, 99999)) / 100

    customers = [
        (key, f"n{key}", f"{key}@x", dice.choice(("DE", "FR")), moment(), moment()) for key in range(1, 9)
    ]
    products = [(key, f"s{key}", f"p{key}", "c", price(), moment(), moment()) for key in range(1, 7)]
    orders = [
        (key, dice.randrange(1, 8), dice.choice(STATUSES), price(), moment(), moment())
        for key in range(1, 40)
    ]
    items = [
        (order, line, dice.randrange(1, 6), dice.randrange(1, 5), price())
        for order in range(1, 38)
        for line in range(1, dice.randrange(1, 4))
    ]
    return {"customers": customers, "products": products, "orders": orders, "order_items": items}


@pytest.fixture(scope="module")
def run_sql(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunSql]:
    """Silver at version 0, and gold as the models make it from there."""
    for database in ("silver", "gold"):
        spark.sql(f"create database {database} location '{tmp_path_factory.mktemp(database)}'")
    for name, schema in TABLES.items():
        rows = [(*row, True) for row in shop(1)[name]]
        frame = spark.createDataFrame(rows, f"{schema}, is_current boolean").coalesce(1)
        frame.write.format("delta").saveAsTable(f"silver.{name}_versions")
    for model in MODELS.values():
        current = {name: spark.table(f"silver.{name}_versions").drop("is_current") for name in model.sources}
        computed = models.result(spark, model, current).coalesce(1)
        spark.conf.set(NOTE, json.dumps({"silver": dict.fromkeys(model.sources, 0)}))
        computed.write.format("delta").saveAsTable(f"gold.{model.name}")
    spark.conf.unset(NOTE)
    yield lambda query: [tuple(row) for row in spark.sql(query).collect()]
    for database in ("silver", "gold"):
        spark.sql(f"drop database {database} cascade")


def findings(run_sql: RunSql, *names: str, **claims: int) -> dict[str, Finding]:
    """What the check finds of some models when the pipeline claims that these silver versions are shown."""
    found = gold.check(run_sql, dict.fromkeys(names, claims), {name: QUERIES[name] for name in names})[1]
    return {finding.table: finding for finding in found}


def test_every_model_has_a_second_computation() -> None:
    assert QUERIES.keys() == MODELS.keys()


def test_the_models_and_verify_agree(run_sql: RunSql) -> None:
    counts, found = gold.check(run_sql, {})
    assert {finding.table: finding.examples for finding in found if finding.differences} == {}
    assert counts.keys() == MODELS.keys()
    assert all(counts.values())


def test_a_model_of_ones_own_is_computed_by_its_own_query(run_sql: RunSql) -> None:
    own = {name: Query(MODELS[name].keys, MODELS[name].query) for name in ("kpis", "sales_by_day")}
    counts, found = gold.check(run_sql, {}, own)
    by_table = {finding.table: finding for finding in found}
    assert counts.keys() == own.keys()
    assert not any(finding.differences for finding in found)
    assert by_table["customer_value"].check.startswith("not compared")

    own["kpis"] = Query(("day",), f"SELECT * FROM ({MODELS['kpis'].query}) WHERE day > '2026-03-01'")
    own["sales_by_day"] = Query(
        ("day",), f"{MODELS['sales_by_day'].query} UNION ALL SELECT null, 0, 0, 0, 0, 0"
    )  # no model has a row without its key
    assert {f.table for f in gold.check(run_sql, {}, own)[1] if f.differences} == {"kpis"}


def test_columns_may_have_any_name(spark: SparkSession, run_sql: RunSql) -> None:
    query = "SELECT status AS `it's.``a`, count(*) AS n FROM {orders} GROUP BY 1"
    spark.conf.set(NOTE, json.dumps({"silver": {"orders": 0}}))
    rows = spark.sql(query.format(orders="silver.orders_versions")).coalesce(1)
    rows.write.format("delta").saveAsTable("gold.by_status")
    spark.conf.unset(NOTE)
    counts, found = gold.check(run_sql, {}, {"by_status": Query(("it's.`a",), query)})
    spark.sql("drop table gold.by_status")
    assert counts["by_status"] > 1
    assert not any(finding.differences for finding in found)


def test_faults_are_named(spark: SparkSession, run_sql: RunSql) -> None:
    """One story: each step plants a fault on top, since a Delta table is slow to make."""
    ((paid,),) = run_sql("select min(order_id) from silver.orders_versions where status = 'paid'")
    spark.sql(f"update silver.orders_versions set amount = amount + 1 where order_id = {paid}")

    # What is new in silver counts from when the pipeline says that gold has it.
    assert findings(run_sql, "sales_by_day", orders=0)["sales_by_day"].differences == 0
    stale = findings(run_sql, "sales_by_day", orders=1)
    assert stale["sales_by_day"].differences == 1
    assert "revenue is" in stale["sales_by_day"].examples[0]
    assert findings(run_sql, "orders_per_minute")["orders_per_minute"].differences == 0

    spark.sql("delete from gold.kpis where day = '2026-03-02'")
    assert findings(run_sql, "kpis")["kpis"].examples == ["day=20514: missing"]

    spark.sql("insert into gold.customer_value select * from gold.customer_value where customer_id = 3")
    assert findings(run_sql, "customer_value")["customer_value"].examples == [
        "customer_id=3: 2 rows, expected 1"
    ]

    spark.sql("drop table gold.orders_per_minute")
    assert findings(run_sql, "orders_per_minute")["orders_per_minute"].examples == ["the table is missing"]
