"""Awaits, with a Spark of its own, an order in all three layers, and that silver and gold then tell it right."""

from __future__ import annotations

import sys
import time

from pyspark.sql import DataFrame, Row, SparkSession

SECONDS = 300.0

spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
order = int(sys.argv[1])
deadline = time.monotonic() + SECONDS


def table(path: str) -> DataFrame:
    """A table of the lake, as it is now."""
    return spark.read.format("delta").load(f"file:///lake/{path}")


def await_rows(what: str, query: str) -> list[Row]:
    """The rows that a query of the layers gives, as soon as there are some."""
    while True:
        table("bronze/change_events").createOrReplaceTempView("events")
        table("silver/orders").createOrReplaceTempView("orders")
        table("silver/order_items").createOrReplaceTempView("items")
        table("gold/sales_by_product_day").createOrReplaceTempView("sales")
        rows = spark.sql(query).collect()
        if rows:
            return rows
        if time.monotonic() > deadline:
            sys.exit(f"not seen within {SECONDS:.0f} s: {what}")
        time.sleep(1)


(sold,) = await_rows(
    "the sale in gold",
    f"SELECT sales.* FROM sales JOIN items USING (product_id) WHERE items.order_id = {order} AND items.valid_to IS NULL",
)
assert (sold.orders, sold.units, str(sold.revenue)) == (1, 3, "21.75"), sold
(last,) = await_rows(
    "the payment in silver", f"SELECT * FROM orders WHERE order_id = {order} AND version = 2"
)
assert (last.status, last.valid_to, last.is_current) == ("paid", None, True), last
(first,) = table("silver/orders").where(f"order_id = {order} AND version = 1").collect()
assert (first.status, first.valid_to, first.is_current) == ("placed", last.valid_from, False), first
events = table("bronze/change_events").where("source_table = 'public.orders'")
keyed = events.where(
    f"get_json_object(key, '$.order_id') = '{order}' OR get_json_object(key, '$.payload.order_id') = '{order}'"
)
assert sorted(row.op for row in keyed.collect()) == ["c", "u"], keyed.collect()
