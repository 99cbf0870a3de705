"""Awaits an order in all three layers, with a Spark of its own; checks what silver and gold tell of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

SECONDS = 300.0
T = TypeVar("T")

spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
order = int(sys.argv[1])
deadline = time.monotonic() + SECONDS


def table(path: str) -> DataFrame:
    """A table of the lake, as it is now."""
    return spark.read.format("delta").load(f"file:///lake/{path}")


def await_some(what: str, look: Callable[[], list[T]]) -> list[T]:
    """What is looked for, as soon as it is there."""
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"not seen within {SECONDS:.0f} s: {what}")
        time.sleep(1)
    return found


def await_rows(what: str, look: Callable[[], DataFrame]) -> list[Row]:
    """Rows, as soon as they are there."""
    return await_some(what, lambda: look().collect())


def sales() -> DataFrame:
    """The sales by day of the product that was ordered."""
    products = table("silver/order_items").where((F.col("order_id") == order) & F.col("valid_to").isNull())
    return table("gold/sales_by_product_day").join(products, "product_id", "left_semi")


def visits() -> DataFrame:
    """The visits, once the last change is among them."""
    rows = table("silver/visits").where(F.col("is_current"))
    moved = rows.where(F.col("day") == F.lit("2026-05-02").cast("date"))
    return rows.where(F.lit(moved.count() == 1))


def version(number: int) -> DataFrame:
    """A version of the order."""
    return table("silver/orders").where((F.col("order_id") == order) & (F.col("version") == number))


await_some(
    "the table in gold", lambda: list(Path("/lake/gold/sales_by_product_day/_delta_log").glob("*.json"))
)
(sold,) = await_rows("the sale in gold", sales)
assert (sold.orders, sold.units, str(sold.revenue)) == (1, 3, "21.75"), sold
(last,) = await_rows("the payment in silver", lambda: version(2))
assert (last.status, last.valid_to, last.is_current) == ("paid", None, True), last
(first,) = version(1).collect()
assert (first.status, first.valid_to, first.is_current) == ("placed", last.valid_from, False), first
key = F.get_json_object("key", "$.order_id")
events = table("bronze/change_events").where((F.col("source_table") == "public.orders") & (key == str(order)))
assert sorted(row.op for row in events.collect()) == ["c", "u"], events.collect()

held = {(row.visitor, str(row.day)): row.email for row in await_rows("the visits in silver", visits)}
assert held.keys() == {(1, "2026-05-01"), (1, "2026-05-02"), (2, "2026-06-01")}, held
assert held[1, "2026-05-01"] == held[1, "2026-05-02"] != held[2, "2026-06-01"], held
assert all(re.fullmatch("[0-9a-f]{64}", email) for email in held.values()), held
told = table("bronze/change_events").where(F.col("source_table") == "public.visits")
assert told.where(F.col("value").isNotNull()).count() == 5, told.collect()
assert told.where(F.col("value").contains("@")).count() == 0, told.collect()
