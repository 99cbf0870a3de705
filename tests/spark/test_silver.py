"""Silver on real Delta tables: restarts, crashes, failures of one table, what a batch reads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import deliveries
import pytest
from deliveries import TABLE
from hypothesis import HealthCheck, given, settings
from lakehouse import config, delta_io, pipeline
from lakehouse.config import Config
from lakehouse.silver import Silver, SilverTable
from lakehouse.status import Status
from oracle import Event, Version, history
from pyspark.sql import SparkSession
from test_scd2 import TRUNCATE, delete, in_order, put, redelivered_batches


class Lake:
    """A lakehouse of one table in a folder; `silver` starts anew for each restart."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.config = Config(
            storage=f"file://{folder}",
            kafka=config.Kafka("none:9092", "cdc"),
            source=config.Source("7", 1),
            tables=(TABLE,),
            triggers=config.Triggers(),
            gold_models=folder,
            status_file=folder / "status.json",
        )
        self.status = Status(("silver",))
        pipeline.create_tables(spark, self.config)
        self.restart()

    def restart(self) -> None:
        self.silver = Silver(self.spark, self.config, self.status)

    def write_bronze(self, events: Iterable[Event]) -> None:
        self.write_records(deliveries.records(events))

    def write_records(self, records: Sequence[tuple[Any, ...]]) -> None:
        rows = deliveries.bronze(self.spark, records)
        rows.coalesce(1).write.format("delta").mode("append").save(self.config.bronze_path)

    def step(self) -> bool:
        return self.silver.step(threading.Event())

    def versions(self) -> list[Version]:
        rows = (
            self.spark.read.format("delta")
            .load(self.config.silver_path(TABLE))
            .orderBy("id", "version")
            .collect()
        )
        return [deliveries.version(row) for row in rows]

    def commits(self) -> int:
        return delta_io.latest_version(self.spark, self.config.silver_path(TABLE))


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path)


EVENTS = in_order(
    put(1, "a", op="r"),
    put(2, "a", op="r"),
    put(1, "b"),
    delete(2),
    put(2, "a", op="c"),
    put(1, "b", "other"),
    TRUNCATE,
    put(3, "a", op="c"),
)


def test_batches_of_bronze_become_history(lake: Lake) -> None:
    for batch in (EVENTS[:3], EVENTS[3:6], EVENTS[6:]):
        lake.write_bronze(batch)
        assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_nothing_new_commits_nothing(lake: Lake) -> None:
    lake.write_bronze(EVENTS)
    lake.step()
    commits = lake.commits()
    assert lake.step()
    lake.restart()
    assert lake.step()
    assert lake.commits() == commits


def test_a_restart_applies_what_was_not_applied_and_no_more(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:4])
    lake.step()
    lake.write_bronze(EVENTS[4:])
    lake.restart()
    lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_death_after_the_merge_repeats_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def merge_then_die(table: SilverTable, *arguments: Any) -> None:
        merge(table, *arguments)
        raise Died

    lake.write_bronze(EVENTS[:3])
    lake.step()
    lake.write_bronze(EVENTS[3:7])
    merge = SilverTable._merge
    monkeypatch.setattr(SilverTable, "_merge", merge_then_die)
    with pytest.raises(Died):
        lake.step()
    monkeypatch.undo()
    lake.write_bronze(EVENTS[7:])
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_redelivery_after_a_restart_of_the_source(lake: Lake) -> None:
    again = [replace(event, offset=5 + i) for i, event in enumerate(EVENTS[2:])]
    lake.write_bronze(EVENTS[:5])
    lake.step()
    lake.restart()
    lake.write_bronze(again)
    lake.step()
    assert lake.versions() == history(EVENTS[:5] + again)


def test_an_in_order_batch_reads_nothing_of_bronze_but_itself(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    lake.write_bronze(EVENTS[2:])
    files = Path(lake.config.bronze_path.removeprefix("file://")).glob("*.parquet")
    oldest = min(files, key=lambda file: file.stat().st_mtime_ns)
    oldest.unlink()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_table_that_fails_is_said_and_tried_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write_bronze(EVENTS[:4])
    monkeypatch.setattr(SilverTable, "apply", lambda *_: 1 / 0)
    assert not lake.step()
    failed = lake.status.as_json()
    assert failed["state"] == "failed"
    assert "ZeroDivisionError" in failed["tables"]["things"]["error"]["message"]
    monkeypatch.undo()
    lake.write_bronze(EVENTS[4:])
    lake.silver._tables[0].backoff.succeeded()
    assert lake.step()
    assert lake.status.as_json()["tables"]["things"]["state"] == "running"
    assert lake.versions() == history(EVENTS)


def test_bad_events_and_tombstones_are_left_out(lake: Lake) -> None:
    good = deliveries.records(EVENTS[:2])
    lake.write_records(
        [
            *good,
            deliveries.record(2, {"id": 1}, b"{not json"),
            deliveries.record(3, {"id": 1}, None),
            deliveries.record(
                4, {"id": 1}, {"op": "u", "source": {"lsn": 9, "ts_us": 0}, "after": {"id": "no number"}}
            ),
        ]
    )
    lake.write_bronze([replace(EVENTS[2], offset=5)])
    assert lake.step()
    assert lake.versions() == history([*EVENTS[:2], replace(EVENTS[2], offset=5)])
    bronze = lake.spark.read.format("delta").load(lake.config.bronze_path)
    bad = {row.offset: row.error for row in bronze.where("error is not null").collect()}
    assert set(bad) == {2, 4}
    assert bad[4] == "id: no number is no bigint"


def test_a_batch_rewrites_no_closed_version(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:4])
    lake.step()
    closed = Path(lake.config.silver_path(TABLE).removeprefix("file://")) / "_head=false"
    before = {file.name for file in closed.glob("*.parquet")}
    assert before
    lake.write_bronze(EVENTS[4:])
    lake.step()
    now = lake.spark.read.format("delta").load(lake.config.silver_path(TABLE)).where("NOT _head").inputFiles()
    assert before <= {Path(file).name for file in now}


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batches=redelivered_batches())
def test_any_batching_and_redelivery_on_delta(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    lake = Lake(spark, tmp_path_factory.mktemp("lake"))
    for number, batch in enumerate(batches):
        lake.write_bronze(batch)
        if number % 2:
            lake.restart()
        assert lake.step()
    assert lake.versions() == history([event for batch in batches for event in batch])
