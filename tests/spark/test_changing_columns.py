"""Silver's tables when the columns of the source's table change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import deliveries
import pytest
from deliveries import TABLE
from lakehouse import bronze, catalog, pipeline, requests, retention, silver
from lakehouse.config import Column
from lakehouse.delta_log import TableLog
from pyspark.sql import SparkSession
from test_requests import MODEL
from test_retention import DAY
from test_silver import Lake

pytestmark = pytest.mark.slow

ID, STATUS, NOTE = (replace(column, number=at) for at, column in enumerate(TABLE.columns, 1))


class Changing(Lake):
    """A lakehouse of a table whose columns change."""

    offset = 0

    def declare(self, *columns: Column, key: tuple[str, ...] = ("id",)) -> None:
        """As site.yml does after DDL."""
        names = [column.name for column in columns if column.name not in key]
        table = replace(TABLE, columns=columns, tracked=tuple(names), key=key)
        self.use(replace(self.config, tables=(table,)))

    def update(self, op: str = "u", snapshot: str = "false", partition: int = 0, **row: Any) -> None:
        """A row of the source as it is then; each comes to bronze a day after the one before.

        The partition 1 has one offset for ten of the partition 0.
        """
        source = {"lsn": self.offset, "txId": self.offset, "ts_us": self.offset, "snapshot": snapshot}
        event = {"op": op, "source": source, "before": None, "after": row}
        place = self.offset // 10 if partition else self.offset
        key = {name: row[name] for name in self.config.tables[0].key}
        record = deliveries.record(place, key, event, partition=partition)
        self.write_records([record], at=self.offset * DAY)
        self.offset += 1

    def snapshot(self, **row: Any) -> None:
        """The only row of the source, in a snapshot of its own."""
        self.update(op="r", snapshot="last", **row)

    def rebuild(self) -> None:
        """As rebuild.yml does."""
        (self.config.gold_models / "of_things.sql").write_text(MODEL)
        requests.rebuild(self.spark, self.config)
        self.restart()

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        """The versions' numbers and some columns."""
        table = self.spark.read.format("delta").load(self.config.silver_path(TABLE))
        return [
            tuple(row) for row in table.orderBy("id", "version").select("id", "version", *names).collect()
        ]

    def failure(self) -> str:
        """What a step fails with."""
        assert not self.step()
        error = self.status.as_json()["tables"]["things"]["error"]
        assert error["needs_somebody"]
        message: str = error["message"]
        return message


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Changing:
    lake = Changing(spark, tmp_path)
    lake.declare(ID, STATUS, NOTE)
    return lake


def test_a_new_column_waits_for_its_declaration_and_nothing_is_lost(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n")
    assert lake.step()
    lake.update(id=1, status="a", note="n", extra=5)
    lake.update(id=1, status="b", note="n", extra=6)
    assert "new columns in the source: extra. Run site.yml" in lake.failure()
    lake.declare(ID, STATUS, NOTE, Column("extra", "integer", number=4))
    assert lake.step()
    assert lake.rows("status", "extra") == [(1, 1, "a", None), (1, 2, "a", 5), (1, 3, "b", 6)]


def test_a_column_that_came_and_went_undeclared_does_not_stop_the_table(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n", extra=5)
    lake.update(id=1, status="b", note="n")
    assert lake.step()
    assert lake.rows("status") == [(1, 1, "a"), (1, 2, "b")]


def test_a_column_that_came_and_went_is_noticed_when_it_comes_again(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n", extra=5)
    lake.update(id=1, status="b", note="n")
    assert lake.step()
    lake.update(id=1, status="b", note="n", extra=6)
    assert "new columns in the source: extra. Run site.yml" in lake.failure()


def test_a_column_that_came_is_noticed_whatever_the_offsets_of_other_partitions_are(lake: Changing) -> None:
    lake.offset = 9
    lake.update(id=1, status="a", note="n")
    lake.update(id=2, status="a", note="n", partition=1, extra=5)
    assert "new columns in the source: extra. Run site.yml" in lake.failure()


def test_a_dropped_column_stays_in_old_versions_and_is_null_in_new_ones(lake: Changing) -> None:
    lake.update(id=1, status="a", note="old")
    lake.update(id=2, status="a", note="kept")
    assert lake.step()
    lake.declare(ID, STATUS)
    lake.update(id=1, status="b")
    lake.update(id=2, status="a")
    assert lake.step()
    expected = [(1, 1, "a", "old"), (1, 2, "b", None), (2, 1, "a", "kept")]
    assert lake.rows("status", "note") == expected
    silver.empty(lake.spark, lake.config, lake.config.tables[0])
    lake.restart()
    assert lake.step()
    assert lake.rows("status", "note") == expected


def test_a_type_becomes_a_wider_one(lake: Changing) -> None:
    narrow, wide = (Column("n", kind, number=4) for kind in ("integer", "bigint"))
    exact, more = (Column("p", kind, number=5) for kind in ("numeric(4,1)", "numeric(8,3)"))
    lake.declare(ID, STATUS, NOTE, narrow, exact)
    lake.update(id=1, status="a", note="n", n=7, p="1.5")
    lake.update(id=2, status="a", note="n", n=8, p="2.5")
    assert lake.step()
    lake.declare(ID, STATUS, NOTE, wide, more)
    lake.update(id=1, status="a", note="n", n=7, p="1.500")  # the same, written with the new scale
    lake.update(id=2, status="a", note="n", n=1 << 40, p="2.125")
    assert lake.step()
    rows = [(*row[:3], str(row[3])) for row in lake.rows("n", "p")]
    assert rows == [(1, 1, 7, "1.500"), (2, 1, 8, "2.500"), (2, 2, 1 << 40, "2.125")]


def test_a_narrower_type_keeps_the_wider_one(lake: Changing) -> None:
    wide = ("double precision", "numeric(8,3)", "timestamp without time zone")
    narrow = ("integer", "numeric(4,1)", "date")

    def columns(kinds: tuple[str, ...]) -> list[Column]:
        named = zip("fpt", kinds, strict=True)
        return [Column(name, kind, number=number) for number, (name, kind) in enumerate(named, 4)]

    lake.declare(ID, STATUS, NOTE, *columns(wide))
    lake.update(id=1, status="a", note="n", f=1.5, p="1.125", t="2026-03-01T12:00:00Z")
    assert lake.step()
    lake.declare(ID, STATUS, NOTE, *columns(narrow))
    lake.update(id=1, status="a", note="n", f=2, p="2.5", t="2026-03-02Z")
    expected = [
        (1, 1, 1.5, Decimal("1.125"), datetime(2026, 3, 1, 12)),
        (1, 2, 2.0, Decimal("2.500"), datetime(2026, 3, 2)),
    ]
    assert lake.step()
    assert lake.rows("f", "p", "t") == expected
    silver.empty(lake.spark, lake.config, lake.config.tables[0])
    lake.restart()
    assert lake.step()
    assert lake.rows("f", "p", "t") == expected


@pytest.mark.parametrize(
    ("declared", "before", "now", "after", "becomes"),
    [
        ("smallint", 7, 40_000, 40_000, "int"),
        ("integer", 7, 1 << 40, 1 << 40, "bigint"),
        ("integer", 7, 7.5, 7.5, "double"),
        ("real", 7.5, 0.123456789012345, 0.123456789012345, "double"),
        ("real", 7.5, 1e-50, 1e-50, "double"),
        ("integer", 7, "7.50", Decimal("7.50"), "decimal(12,2)"),
        ("numeric(4,1)", "1.5", "1234.125", Decimal("1234.125"), "decimal(7,3)"),
        ("date", "2026-03-01Z", "2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12), "timestamp_ntz"),
    ],
)
def test_a_value_that_needs_a_wider_type_widens_its_column(
    lake: Changing, declared: str, before: Any, now: Any, after: Any, becomes: str
) -> None:
    lake.declare(ID, STATUS, NOTE, Column("n", declared, number=4))
    lake.update(id=1, status="a", note="n", n=before)
    assert lake.step()
    lake.update(id=1, status="a", note="n", n=now)
    lake.update(id=1, status="b", note="n", n=before)  # narrowed again before anybody declared it
    assert lake.step()
    lake.restart()
    lake.update(id=1, status="c", note="n", n=now)
    assert lake.step()
    rows = lake.spark.read.format("delta").load(lake.config.silver_path(TABLE))
    assert rows.schema["n"].dataType.simpleString() == becomes
    (first, *others) = [row[2] for row in lake.rows("n")]
    assert others == [after, first, after]
    silver.empty(lake.spark, lake.config, lake.config.tables[0])
    lake.restart()
    assert lake.step()
    assert [row[2] for row in lake.rows("n")] == [first, *others]


def test_a_row_whose_key_widened_its_column_is_erased(lake: Changing) -> None:
    lake.declare(replace(ID, type="integer"), STATUS, NOTE)
    for key in (1, 1 << 40):
        lake.update(id=key, status="a", note="n")
    assert lake.step()
    (lake.config.gold_models / "of_things.sql").write_text(MODEL)
    requests.erase(lake.spark, lake.config, {TABLE.name: [{"id": 1 << 40}]})
    lake.restart()
    assert lake.step()
    assert lake.rows() == [(1, 1)]
    bronze = lake.spark.read.format("delta").load(lake.config.bronze_path).orderBy("offset")
    assert [row.key is None for row in bronze.collect()] == [False, True]


def test_a_renamed_column_stops_the_table_until_it_is_made_anew(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n")
    assert lake.step()
    lake.declare(ID, STATUS, replace(NOTE, name="remark"))
    lake.update(id=1, status="b", remark="r")
    assert "its column note is called remark now" in lake.failure()
    lake.rebuild()  # which alone would make null of what rows without a change have
    assert "its column note is called remark now" in lake.failure()
    lake.snapshot(id=1, status="b", remark="r")
    lake.rebuild()
    assert lake.step()
    assert lake.rows("status", "note", "remark") == [(1, 1, "a", "n", None), (1, 2, "b", None, "r")]


def test_a_renamed_key_stops_the_table_until_it_is_made_anew(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n")
    lake.update(id=2, status="a", note="n")
    assert lake.step()
    lake.declare(replace(ID, name="thing_id"), STATUS, NOTE, key=("thing_id",))
    assert "its column id is called thing_id now" in lake.failure()
    lake.snapshot(thing_id=1, status="b", note="n")
    lake.rebuild()
    assert lake.step()
    assert [row[2:] for row in lake.rows("thing_id", "status")] == [(1, "b")]


def test_another_key_stops_the_table_until_it_is_made_anew(lake: Changing) -> None:
    lake.update(id=1, status="a", note="n")
    assert lake.step()
    lake.declare(ID, STATUS, NOTE, key=("id", "status"))
    lake.update(id=1, status="b", note="n")
    assert "its key was id and is id, status now" in lake.failure()
    lake.rebuild()
    assert "its key was id and is id, status now" in lake.failure()
    lake.snapshot(id=1, status="b", note="n")
    lake.rebuild()
    assert lake.step()
    assert lake.rows("status") == [(1, 1, "b")]


def test_what_comes_again_is_known_also_when_the_key_has_become_wider(
    spark: SparkSession, lake: Changing
) -> None:
    amounts = replace(
        TABLE,
        name="public.amounts",
        columns=(Column("id", "numeric(4,1)", nullable=False), STATUS),
        tracked=("status",),
    )
    lake.use(replace(lake.config, tables=(amounts,)))
    pipeline.create_tables(spark, lake.config)
    told = [(10, "1.5", "a"), (20, "1.5", "b"), (30, "12.25", "x"), (10, "1.5", "a"), (20, "1.5", "b")]
    records = [
        deliveries.record(
            offset,
            {"id": key},
            {
                "op": "u",
                "source": {"lsn": lsn, "txId": lsn, "ts_us": lsn},
                "after": {"id": key, "status": status},
            },
        )
        for offset, (lsn, key, status) in enumerate(told)
    ]
    for some in (records[:2], records[2:]):
        log = TableLog(spark, lake.config.bronze_path)
        log.append(deliveries.bronze(some, amounts), bronze.STATS, {"writer": "test"}, log.version)
        assert lake.step()
    rows = spark.read.format("delta").load(lake.config.silver_path(amounts))
    assert [(str(row.id), row.status) for row in rows.orderBy("id", "version").collect()] == [
        ("1.50", "a"),
        ("1.50", "b"),
        ("12.25", "x"),
    ]


def test_a_column_of_another_type_stops_the_table_until_it_is_made_anew(lake: Changing) -> None:
    lake.update(id=1, status="a", note="12")
    assert lake.step()
    lake.update(id=1, status="b", note="a dozen")
    assert lake.step()
    lake.declare(ID, STATUS, replace(NOTE, type="integer"))
    lake.update(id=1, status="b", note=13)
    assert "its column note was string and is integer now" in lake.failure()
    lake.rebuild()
    assert "its column note was string and is integer now" in lake.failure()
    lake.snapshot(id=1, status="b", note=13)
    lake.rebuild()
    assert lake.step()
    assert lake.rows("note") == [(1, 1, 12), (1, 2, 13)]
    bronze = lake.spark.read.format("delta").load(lake.config.bronze_path)
    (bad,) = bronze.where("error IS NOT NULL").collect()
    assert "note" in bad.error
    assert "a dozen" in bad.value


def test_without_old_events_a_column_of_another_type_needs_a_snapshot_and_nothing_is_lost_until_then(
    lake: Changing,
) -> None:
    for note in ("a", "b", "c"):
        lake.update(id=1, status="a", note=note)
    assert lake.step()
    history = lake.rows("note")
    retention.trim(lake.spark, lake.config, 1.5)
    lake.declare(ID, STATUS, replace(NOTE, type="integer"))
    lake.update(id=1, status="a", note=13)
    assert "resnapshot.yml for this table, then rebuild.yml" in lake.failure()
    lake.rebuild()
    assert "resnapshot.yml for this table, then rebuild.yml" in lake.failure()
    assert lake.rows("note") == history
    lake.snapshot(id=1, status="a", note=13)
    lake.rebuild()
    assert lake.step()
    assert [row[2] for row in lake.rows("note")] == [13]


def test_the_history_view_shows_dropped_columns_too(lake: Changing) -> None:
    lake.update(id=1, status="a", note="old")
    assert lake.step()
    for columns, shown in (((ID, STATUS, NOTE), 0), ((ID, STATUS), 1)):
        lake.declare(*columns)
        view = next(view for view in catalog.views(lake.config.tables[0]) if view["name"] == "things_history")
        path = lake.config.silver_path(TABLE)
        query = view["query"].replace("silver.`things_versions`", f"delta.`{path}`")
        names = lake.spark.sql(query).columns
        assert names[: len(columns)] == [column.name for column in columns]
        assert names.count("note") == 1
        assert (names[-1] == "note") == bool(shown)
