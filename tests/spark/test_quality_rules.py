"""Rows that break a quality rule are kept, flagged and counted, on real Delta tables."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deliveries import TABLE
from lakehouse import catalog, delta_io, pgtypes, quality
from lakehouse.config import Table
from lakehouse.gold import Gold
from lakehouse.gold import Silver as SilverAsOf
from lakehouse.quality_counts import QualityCounts
from lakehouse.status import Status
from pyspark.sql import SparkSession
from streams import TRUNCATE, delete, in_order, put
from test_gold import Rows, small_shop
from test_silver import Lake

pytestmark = pytest.mark.slow

RULES = [
    {"column": "status", "in": ["a", "it's $a{b}\\ é😀"]},
    {"column": "note", "not_null": True},
    {"column": "note", "matches": r"^\p{L}+$", "name": "letters"},
]


def ruled(table: Table, declared: Any) -> Table:
    types = {column.name: column.type for column in table.columns}
    return replace(table, quality=quality.rules(table.name, declared, types))


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    lake = Lake(spark, tmp_path)
    lake.use(replace(lake.config, tables=(ruled(TABLE, RULES),)))
    return lake


def query(lake: Lake, view: str) -> str:
    """A view of silver, on the table by its path."""
    entries = [*catalog.views(lake.config.tables[0]), *catalog.counts(lake.config)]
    text: str = next(
        entry["query"] for entry in entries if entry["name"] == view and entry["database"] == "silver"
    )
    return text.replace("silver.`things_versions`", f"delta.`{lake.config.silver_path(TABLE)}`")


def flags(lake: Lake, view: str = "things") -> list[tuple[int, list[str]]]:
    rows = lake.spark.sql(f"SELECT id, _quality FROM ({query(lake, view)}) ORDER BY id, _quality")
    return [(row.id, row._quality) for row in rows.collect()]


def counts(lake: Lake) -> dict[str, int]:
    return {row.rule: row.broken_rows for row in lake.spark.sql(query(lake, "quality")).collect()}


def test_rows_are_kept_and_flagged_in_both_views(lake: Lake) -> None:
    lake.write_bronze(
        in_order(
            put(1, "a", "été", op="c"),
            put(2, "it's $a{b}\\ é😀", None, op="c"),
            put(3, None, "x1", op="c"),
            put(4, "b", "", op="c"),
            put(1, "z", "n"),
        )
    )
    assert lake.step()
    assert flags(lake) == [
        (1, ["status_in"]),
        (2, ["note_not_null"]),
        (3, ["letters"]),
        (4, ["status_in", "letters"]),
    ]
    assert [broken for key, broken in flags(lake, "things_history") if key == 1] == [[], ["status_in"]]
    assert counts(lake) == {"status_in": 2, "note_not_null": 1, "letters": 2}
    shown = lake.spark.sql(query(lake, "things"))
    assert shown.columns == [*TABLE.column_names, "_quality"]


def test_a_rule_that_changes_makes_no_version_and_holds_for_old_rows(lake: Lake) -> None:
    lake.write_bronze(in_order(put(1, "a", "n", op="c"), put(1, "b", "n"), put(2, "a", "n", op="c")))
    assert lake.step()
    before = delta_io.latest_version(lake.spark, lake.config.silver_path(TABLE)), lake.versions()
    lake.use(
        replace(lake.config, tables=(ruled(TABLE, [{"column": "status", "in": ["b"], "name": "only_b"}]),))
    )
    assert lake.step()
    assert (delta_io.latest_version(lake.spark, lake.config.silver_path(TABLE)), lake.versions()) == before
    assert flags(lake) == [(1, []), (2, ["only_b"])]
    assert flags(lake, "things_history") == [(1, []), (1, ["only_b"]), (2, ["only_b"])]


def test_counts_follow_the_changes_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first time, nothing is read but what changed; and the counts are those of the view."""
    batches = [
        [put(1, "z", None, op="c"), put(2, "a", "n", op="c"), put(3, "z", "1", op="c")],
        [put(1, "a", None), put(2, "z", "n"), delete(3), put(4, None, "7", op="c")],
        [put(2, "z", "8"), put(2, "y", "8"), put(4, None, "n")],
        [delete(1), put(1, "z", "9", op="c")],
        [TRUNCATE, put(5, "z", "n", op="c")],
    ]
    events = in_order(*[change for batch in batches for change in batch])
    counted = QualityCounts(lake.config.tables[0])
    for number, batch in enumerate(batches):
        done, events = events[: len(batch)], events[len(batch) :]
        lake.write_bronze(done)
        assert lake.step()
        version = delta_io.latest_version(lake.spark, lake.config.silver_path(TABLE))
        silver = SilverAsOf(lake.spark, lake.config, {"things": version})
        if number:
            monkeypatch.setattr(silver, "current", lambda name: pytest.fail("the whole table was read"))
        counted.refresh(silver)
        silver.release()
        assert counted.broken_rows == counts(lake), number
    assert counted.broken_rows == {"status_in": 1, "note_not_null": 0, "letters": 0}


TIME, ZONE = "timestamp", "time zone"
CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("bigint", {"min": -(2**63), "max": 2**63 - 2}, ["9223372036854775807"], ["-9223372036854775808", "0"]),
    ("integer", {"in": [1, -2]}, ["0", "2"], ["1", "-2"]),
    ("numeric(38,2)", {"max": "123456789012345678901234567890123456.77"},
     ["123456789012345678901234567890123456.78"], ["123456789012345678901234567890123456.77"]),
    ("numeric(12,2)", {"min": 0.1, "max": 1}, ["0.09", "1.01"], ["0.1", "1.00"]),
    ("numeric(12,2)", {"in": [1, 2.5]}, ["1.01"], ["1.00", "2.50"]),
    ("numeric", {"min": 0, "max": 0.1}, ["-1e-9", "0.11", "NaN", "Infinity", "-Infinity"], ["0.10", "0"]),
    ("numeric", {"in": [1, 2]}, ["1.5"], ["1", "1.00"]),
    ("real", {"max": 0.1}, ["0.2"], ["0.1"]),
    ("double precision", {"max": 0.1}, ["0.2", "NaN"], ["0.1"]),
    ("boolean", {"in": [True]}, ["false"], ["true"]),
    ("date", {"min": "2026-01-01"}, ["2025-12-31"], ["2026-01-01"]),
    (f"{TIME} with {ZONE}", {"min": "2026-01-01"}, ["2025-12-31T23:59:59.999999Z"], ["2026-01-01T00:00:00Z"]),
    (f"{TIME} with {ZONE}", {"max": "2026-01-01T02:00+02:00"}, ["2026-01-01 00:00:01"], ["2026-01-01"]),
    (f"{TIME} without {ZONE}", {"max": "2026-01-01 12:00"}, ["2026-01-01T12:00:01"], ["2026-01-01T12:00:00"]),
    ("text", {"matches": "b"}, ["a", "", "B"], ["abc"]),
    ("text", {"matches": r"^\d{2,}\s'\$\{x}$"}, [r"1 '${x}"], [r"12 '${x}"]),
    ("character varying(9)", {"in": ["NO", "1"]}, ["no", "true"], ["NO", "1"]),
    ("character(5)", {"in": ["a", " b "]}, ["b    ", "A    "], ["a    ", " b   "]),
    ("character(3)", {"matches": "^[a-z]+$"}, ["A  ", "a b"], ["a  ", "ab "]),
    ("uuid", {"not_null": True}, [], ["0d7b2ad2-0b39-4e43-9a6c-0e4e1d2c7a10"]),
]  # fmt: skip


@pytest.mark.parametrize(("pg_type", "check", "breaking", "holding"), CASES)
def test_each_type_is_compared_exactly(
    spark: SparkSession, pg_type: str, check: dict[str, Any], breaking: list[str], holding: list[str]
) -> None:
    declared = json.loads(json.dumps([{"column": "x y", **check}]))
    (rule,) = quality.rules("public.t", declared, {"x y": pg_type})
    texts = spark.createDataFrame([(text,) for text in [*breaking, *holding, None]], "t string")
    values = texts.selectExpr("t", f"CAST(t AS {pgtypes.spark_type(pg_type)}) AS `x y`")
    broken = {row.t for row in values.where(rule.broken).collect()}
    assert broken == {*breaking, *([None] if "not_null" in check else [])}


def test_the_pipelines_status_has_the_counts(spark: SparkSession, tmp_path: Path) -> None:
    shop = small_shop(spark, tmp_path)
    rules = [{"column": "amount", "min": 5}, {"column": "status", "in": ["placed", "paid", "delivered"]}]
    tables = tuple(
        ruled(table, rules) if table.short_name == "orders" else table for table in shop.config.tables
    )
    shop.config = replace(shop.config, tables=tables)
    shop.restart()
    order: Rows = [(1, 1, "paid", Decimal("1.00"), "2026-03-01 10:00:00")]
    shop.set("orders", order)
    shop.refresh()
    told = shop.status.as_json()["quality"]["orders"]
    assert (told["state"], told["broken_rows"]) == ("running", {"amount_range": 1, "status_in": 0})
    shop.set("orders", [(1, 1, "lost", Decimal("9.00"), "2026-03-01 10:00:00")])
    shop.refresh()
    assert shop.status.as_json()["quality"]["orders"]["broken_rows"] == {"amount_range": 0, "status_in": 1}


@pytest.mark.long
def test_counts_that_fail_are_told_and_stop_no_model(spark: SparkSession, tmp_path: Path) -> None:
    shop = small_shop(spark, tmp_path)
    (orders,) = (table for table in shop.config.tables if table.short_name == "orders")
    broken = replace(orders, quality=(quality.Rule("r", "gone", "`gone` IS NULL"),))
    tables = tuple(broken if table is orders else table for table in shop.config.tables)
    shop.config = replace(shop.config, tables=tables)
    shop.gold = Gold(spark, shop.config, shop.status)
    assert shop.gold.step(threading.Event())
    told = shop.status.as_json()
    assert (
        told["quality"]["orders"]["state"] == "failed"
        and "gone" in told["quality"]["orders"]["error"]["message"]
    )
    assert {facts["state"] for facts in told["models"].values()} == {"running"}


def test_counts_that_failed_are_tried_again_also_when_nothing_changes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, stop, tries = small_shop(spark, tmp_path), threading.Event(), []
    rules = [{"column": "amount", "min": 5}]
    tables = tuple(
        ruled(table, rules) if table.short_name == "orders" else table for table in shop.config.tables
    )
    shop.config = replace(shop.config, tables=tables, triggers=replace(shop.config.triggers, gold=0.1))
    status = Status()
    refresh = QualityCounts.refresh

    def third_time_lucky(counts: QualityCounts, silver: SilverAsOf) -> None:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise OSError("the store does not answer")
        refresh(counts, silver)

    monkeypatch.setattr(QualityCounts, "refresh", third_time_lucky)
    gold = threading.Thread(target=Gold(spark, shop.config, status).run, args=(stop,))
    gold.start()
    try:
        deadline = time.monotonic() + 60
        while status.as_json()["quality"].get("orders", {}).get("state") != "running":
            assert time.monotonic() < deadline, tries
            time.sleep(0.1)
    finally:
        stop.set()
        gold.join()
    assert len(tries) == 3
