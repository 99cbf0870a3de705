"""Every card's SQL on gold's own tables, as they are a few minutes after the shop opened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dashboard_preview import definition, page, result, template
from dashboard_preview.__main__ import queries
from dashboard_preview.definition import Parameter
from lakehouse import models
from pyspark.sql import SparkSession

FILES = Path(__file__).resolve().parents[2] / "files"
DASHBOARDS = definition.load(FILES / "dashboards")
SCHEMAS = {
    "customers": "customer_id bigint, country string, created_at timestamp",
    "products": "product_id bigint, sku string, name string, category string, price decimal(12, 2)",
    "orders": "order_id bigint, customer_id bigint, status string, amount decimal(12,2),created_at timestamp",
    "order_items": "order_id bigint, line_no int, product_id bigint, quantity int, unit_price decimal(12, 2)",
}


@pytest.fixture(scope="module")
def gold(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The gold tables after four minutes with eight orders at 10.00, one of them cancelled."""
    begin = datetime.now(UTC) - timedelta(minutes=4)
    at = [(begin + timedelta(seconds=30 * order)).replace(tzinfo=None) for order in range(8)]
    shop: dict[str, list[tuple[Any, ...]]] = {
        "customers": [(key, country, at[0]) for key, country in enumerate(("DE", "FR", "O'"))],
        "products": [(key, f"P-{key}", f"Product {key}", "toys", Decimal(5)) for key in range(3)],
        "orders": [
            (key, key % 2, "cancelled" if key == 3 else "paid", Decimal(10), at[key]) for key in range(8)
        ],
        "order_items": [(key, 1, key % 2, 2, Decimal(5)) for key in range(8)],
    }
    current = {
        name: spark.createDataFrame(rows, SCHEMAS[name]).localCheckpoint() for name, rows in shop.items()
    }
    spark.sql(f"CREATE DATABASE gold LOCATION '{tmp_path_factory.mktemp('gold')}'")
    for model in models.load_all(FILES / "gold"):
        models.result(spark, model, current).coalesce(1).write.saveAsTable(f"gold.{model.name}")
    yield spark
    spark.sql("DROP DATABASE gold CASCADE")


def ask(spark: SparkSession, sql: str) -> result.Result:
    """The result of a query, as lakehouse-sql would give it."""
    rows = spark.sql(sql)
    columns = [
        {"name": field.name, "type": field.dataType.simpleString().split("(")[0].upper()}
        for field in rows.schema
    ]
    values = [[None if value is None else str(value) for value in row] for row in rows.collect()]
    return result.parse({"columns": columns, "rows": values, "seconds": 0})


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_card_has_data_and_fits_its_settings(
    gold: SparkSession, dashboard: definition.Definition
) -> None:
    results = [ask(gold, query) for query in queries([dashboard])]
    empty = [card.name for card, found in zip(dashboard.cards, results, strict=True) if not found.rows]
    assert empty == []
    assert page.failures(page.boards([dashboard], results)) == []


@pytest.mark.parametrize(
    ("dashboard", "card", "expected"),
    [
        ("Sales trends", "Revenue", [0, 70]),
        ("Sales trends", "Orders", [0, 8]),
        ("Sales trends", "Average order value", [None, 10]),
        ("Sales trends", "Cancelled orders", [None, Decimal("0.125")]),
        ("Orders in real time", "Orders today", [0, 8]),
        ("Product performance", "Units in 7 days", [0, 14]),
        ("Customer analytics", "Revenue per customer", [35]),
    ],
)
def test_key_figures_against_the_period_before(
    gold: SparkSession, dashboard: str, card: str, expected: list[Any]
) -> None:
    board = next(one for one in DASHBOARDS if one.name == dashboard)
    sql = next(one.sql for one in board.cards if one.name == card)
    found = ask(gold, template.fill(sql, board.parameters))
    assert found.values(found.columns[-1].name) == expected


@pytest.mark.parametrize("dashboard", ["Customer analytics", "Product performance"])
def test_a_filter_reaches_every_card(gold: SparkSession, dashboard: str) -> None:
    """A country that nobody lives in, a category of nothing: every card is without rows, or says none."""
    board = next(one for one in DASHBOARDS if one.name == dashboard)
    (parameter,) = board.parameters
    parameters = [Parameter(parameter.slug, parameter.name, parameter.type, "nowhere")]
    for card in board.cards:
        found = ask(gold, template.fill(card.sql, parameters))
        assert all(value in (None, 0) for row in found.rows for value in row[-1:]), card.name


@pytest.mark.parametrize("text", ["O'", "\\", "\\'", "a\nb", "${spark.app.name}", "\\u0041", "''", "$", "%_"])
def test_a_text_reaches_spark_as_it_is(spark: SparkSession, text: str) -> None:
    sql = template.fill("select {{x}} as x", [Parameter("x", "X", "string/=", text)])
    assert spark.sql(sql).collect()[0].x == text
