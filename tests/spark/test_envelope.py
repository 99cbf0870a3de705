"""From Kafka records to rows of bronze."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from lakehouse import envelope
from lakehouse.config import Column, Table
from pyspark.sql import SparkSession

ORDERS = Table("public.orders", ("id",), (Column("id", "bigint", False), Column("note", "text")), ("note",))
ITEMS = Table("public.items", ("sku",), (Column("sku", "text", False), Column("price", "numeric(9,2)")), ())
TABLES = {"cdc.public.orders": ORDERS, "cdc.public.items": ITEMS}
RECORDS = "topic string, partition int, offset bigint, timestamp timestamp, key binary, value binary, "
HEADERS = "headers array<struct<key: string, value: binary>>"


def created(**row: object) -> str:
    source = {"lsn": 7, "txId": 3, "ts_us": 1_700_000_000_000_000}
    return json.dumps({"op": "c", "source": source, "before": None, "after": row})


def test_each_record_is_judged_by_its_own_table(spark: SparkSession) -> None:
    """Good events of several tables and tombstones have no error; a bad one tells which and why."""
    values = [
        ("cdc.public.orders", created(id=1, note="first")),
        ("cdc.public.items", created(sku="A", price="1.50")),
        ("cdc.public.orders", None),
        ("cdc.public.items", created(sku="B", price="cheap")),
        ("cdc.public.orders", "no JSON"),
    ]
    records = [
        (topic, 0, offset, datetime(2026, 3, 1, tzinfo=UTC), b"{}", value and value.encode(), None)
        for offset, (topic, value) in enumerate(values)
    ]
    batch = spark.createDataFrame(records, RECORDS + HEADERS)
    rows = envelope.bronze_rows(batch, TABLES, dict.fromkeys(TABLES, "0001/7/1/id")).collect()
    errors = {row.offset: row.error for row in rows}
    assert {offset for offset, error in errors.items() if error is None} == {0, 1, 2}
    assert errors[3] == "price: cheap is no numeric(9,2)"
    assert "no JSON object" in errors[4]
