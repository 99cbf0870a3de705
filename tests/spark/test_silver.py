"""Silver on real Delta tables: restarts, crashes, failures of one table, what a batch reads."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import deliveries
import pyarrow as pa
import pytest
from deliveries import TABLE, without_places
from hypothesis import given
from hypothesis import strategies as st
from lakehouse import bronze, config, delta_io, layout, pipeline, silver
from lakehouse.config import Config, Table
from lakehouse.delta_log import TableLog
from lakehouse.silver import Silver
from lakehouse.silver_table import SilverTable
from lakehouse.status import Status
from oracle import Event, Version, history
from pyspark.sql import SparkSession
from streams import TRUNCATE, delete, in_order, put, redelivered_batches, snapshot, spread_batches

from tests.examples import examples


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
            state=folder / "state",
        )
        self.status = Status(("silver",))
        pipeline.create_tables(spark, self.config)
        self.restart()

    def use(self, settings: Config) -> None:
        self.config = settings
        self.restart()

    def restart(self) -> None:
        self.silver = Silver(self.spark, self.config, self.status)

    def write_bronze(self, events: Iterable[Event], at: int = 0) -> None:
        self.write_records(deliveries.records(events), at)

    def write_records(self, records: Sequence[tuple[Any, ...]], at: int = 0, table: Table = TABLE) -> None:
        rows = deliveries.bronze(records, at=at)
        place = rows.schema.get_field_index("source_table")
        rows = rows.set_column(place, "source_table", pa.array([table.name] * rows.num_rows))
        log = TableLog(self.spark, self.config.bronze_path)
        log.append(rows, bronze.STATS, {"writer": "test"}, log.version)

    def step(self) -> bool:
        return self.silver.step(threading.Event())

    def versions(self, table: Table = TABLE) -> list[Version]:
        rows = (
            self.spark.read.format("delta")
            .load(self.config.silver_path(table))
            .orderBy("id", "version")
            .collect()
        )
        return [deliveries.version(row) for row in rows]

    def forget(self) -> None:
        """Frees what Delta keeps in memory of the tables."""
        jvm: Any = self.spark._jvm
        forget = jvm.org.apache.spark.sql.delta.DeltaLog.invalidateCache
        for path in (self.config.bronze_path, self.config.silver_path(TABLE)):
            forget(self.spark._jsparkSession, jvm.org.apache.hadoop.fs.Path(path))

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


def test_a_table_is_starting_until_it_was_looked_at(lake: Lake) -> None:
    assert lake.status.as_json()["tables"]["things"]["state"] == "starting"
    assert lake.step()
    assert lake.status.as_json()["tables"]["things"]["state"] == "running"


def test_rows_of_bronze_that_spark_wrote_are_read_with_others(lake: Lake) -> None:
    """Whoever mends bronze by SQL has Spark write it."""
    spark = lake.spark
    rows = spark.createDataFrame(deliveries.bronze(deliveries.records(EVENTS[:2])))
    there = spark.read.format("delta").load(lake.config.bronze_path).schema
    mended = spark.createDataFrame(rows.select(*there.names).collect(), there)
    mended.write.format("delta").mode("append").save(lake.config.bronze_path)
    lake.write_bronze(EVENTS[2:])
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


def test_a_death_after_the_commit_repeats_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def write_then_die(table: SilverTable, *arguments: Any) -> None:
        write(table, *arguments)
        raise Died

    lake.write_bronze(EVENTS[:3])
    lake.step()
    lake.write_bronze(EVENTS[3:7])
    write = SilverTable._write
    monkeypatch.setattr(SilverTable, "_write", write_then_die)
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


def test_what_changed_nothing_is_known_after_a_restart_when_it_comes_again(lake: Lake) -> None:
    """Also when bronze went on meanwhile with what does not concern the table."""
    events = in_order(put(1, "a", op="c"), put(1, "a"), put(1, "b"))
    for event in events[:2]:
        lake.write_bronze([event])
        assert lake.step()
    lake.write_records([deliveries.record(2, {"id": 1}, None)])
    assert lake.step()
    lake.restart()
    lake.write_bronze([replace(events[2], offset=3)])
    assert lake.step()
    lake.write_bronze([replace(event, offset=4 + i) for i, event in enumerate(events[1:])])
    assert lake.step()
    assert [(version.status, version.to_offset) for version in lake.versions()] == [("a", 3), ("b", None)]


def test_a_generated_column_is_no_column_of_silver(lake: Lake) -> None:
    """Snapshots tell it, the stream does not."""
    lake.use(replace(lake.config, tables=(replace(TABLE, generated=("length",)),)))
    events = in_order(snapshot(k1="a"))
    ((*place, key, value),) = deliveries.records(events)
    told = json.loads(value)
    told["after"]["length"] = 17
    lake.write_records([(*place, key, json.dumps(told).encode())])
    assert lake.step()
    assert lake.versions() == history(events)


def test_an_in_order_batch_reads_nothing_of_bronze_but_itself(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    lake.write_bronze(EVENTS[2:])
    oldest = min(bronze_files(lake), key=lambda file: file.stat().st_mtime_ns)
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
    rows = lake.spark.read.format("delta").load(lake.config.bronze_path)
    bad = {row.offset: row.error for row in rows.where("error is not null").collect()}
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


def test_heads_are_found_again_wherever_optimize_moved_them(lake: Lake) -> None:
    for event in EVENTS[:6]:
        lake.write_bronze([event])
        lake.step()
    lake.spark.sql(f"OPTIMIZE delta.`{lake.config.silver_path(TABLE)}`")
    lake.write_bronze(EVENTS[6:])
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_new_snapshot_closes_what_was_deleted_while_nobody_looked(lake: Lake) -> None:
    """Also across restarts and batches; a row whose record is bad is left as it was."""
    before = in_order(snapshot(k1="a", k2="a", k3="a", k4="a"), put(1, "b"))
    lake.write_bronze(before)
    assert lake.step()
    again = in_order(snapshot(k1="b", k2="a", k4="a"))
    first, bad, last = (replace(event, offset=5 + i, lsn=900, tx=900) for i, event in enumerate(again))
    lake.write_bronze([first])
    assert lake.step()
    lake.restart()
    lake.write_records([deliveries.record(bad.offset, {"id": 2}, b"{not json")])
    assert lake.step()
    last = replace(last, offset=last.offset + 1)
    lake.write_records([deliveries.record(last.offset - 1, b"\xff", b"{not json")])
    lake.write_bronze([last])
    assert lake.step()
    assert lake.versions() == history([*before, first, bad, last])
    assert [(version.key, version.to_offset) for version in lake.versions()] == [
        *((1, 4), (1, None), (2, None), (3, last.offset), (4, None)),
    ]


def test_a_snapshot_ends_with_its_last_row_also_when_that_is_bad(lake: Lake) -> None:
    first = in_order(snapshot(k1="a", k2="a", k3="a"))
    lake.write_bronze(first)
    assert lake.step()
    again = in_order(snapshot(k1="b", k3="b"))
    kept, last = (replace(event, offset=3 + i, lsn=900, tx=900) for i, event in enumerate(again))
    ((*place, key, value),) = deliveries.records([last])
    told = json.loads(value)
    told["after"]["id"] = "no number"
    lake.write_bronze([kept])
    lake.write_records([(*place, key, json.dumps(told).encode())])
    assert lake.step()
    found = [(version.key, version.status, version.to_offset) for version in lake.versions()]
    assert found == [(1, "a", 3), (1, "b", None), (2, "a", 4), (3, "a", None)]


def test_a_table_that_was_emptied_is_made_from_bronze_again(lake: Lake) -> None:
    for batch in (EVENTS[:3], EVENTS[3:]):
        lake.write_bronze(batch)
        lake.step()
    lake.spark.sql(f"UPDATE delta.`{lake.config.silver_path(TABLE)}` SET status = 'planted'")
    TableLog(lake.spark, lake.config.silver_path(TABLE)).clear()
    assert lake.versions() == []
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


@pytest.mark.parametrize("lost", ["all of it", "its newest commits"])
def test_heads_that_are_lost_are_read_from_the_table(lake: Lake, lost: str) -> None:
    state = lake.config.state
    lake.write_bronze(EVENTS[:3])
    lake.step()
    shutil.copytree(state, state.with_name("kept"))
    lake.write_bronze(EVENTS[3:6])
    lake.step()
    shutil.rmtree(state)
    if lost == "its newest commits":
        state.with_name("kept").rename(state)
    lake.restart()
    lake.write_bronze(EVENTS[6:])
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_damaged_heads_are_read_from_the_table(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:3])
    lake.step()
    (heads,) = lake.config.state.glob("*.sqlite")
    heads.write_bytes(bytes(4096) + heads.read_bytes()[4096:])
    lake.restart()
    lake.write_bronze(EVENTS[3:])
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_what_did_not_concern_a_table_is_not_read_again(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    before = set(bronze_files(lake))
    lake.write_records([deliveries.record(2, {"id": 1}, None)])
    lake.step()
    (concerns_nobody,) = set(bronze_files(lake)) - before
    concerns_nobody.unlink()
    lake.restart()
    last = [replace(event, offset=1 + event.offset) for event in EVENTS[2:]]
    lake.write_bronze(last)
    assert lake.step()
    assert lake.versions() == history([*EVENTS[:2], *last])


def bronze_files(lake: Lake) -> list[Path]:
    return list(Path(lake.config.bronze_path.removeprefix("file://")).glob("*.parquet"))


@contextmanager
def catching_up() -> Iterator[None]:
    """Bronze is read in pieces, as if there were too much of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silver._News, "since", lambda *_, **__: None)
        patch.setattr(silver, "CHUNK", 3)
        patch.setattr(silver, "_PIECE", 2)
        yield


def test_a_backlog_is_applied_in_pieces(lake: Lake) -> None:
    lake.write_bronze(EVENTS)
    with catching_up():
        assert lake.step()
    assert lake.versions() == history(EVENTS)
    assert lake.commits() > 2


def test_many_commits_are_applied_a_few_at_a_time_without_a_spark_job(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.step()
    for event in EVENTS:
        lake.write_bronze([event])
    monkeypatch.setattr(silver, "CHUNK", 3)
    monkeypatch.setattr(silver, "delta_io", None)
    assert lake.step()
    assert lake.versions() == history(EVENTS)
    assert lake.commits() == math.ceil(len(EVENTS) / 3)


def test_a_commit_of_more_rows_than_a_part_is_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.step()
    lake.write_bronze(EVENTS[:5])
    lake.write_bronze(EVENTS[5:])
    monkeypatch.setattr(silver, "CHUNK", 3)
    monkeypatch.setattr(silver, "delta_io", None)
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_version_that_bronze_does_not_have_is_not_waited_for(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:3])
    lake.step()
    lake.silver._tables[0].table.has_all_of(99)
    lake.restart()
    lake.write_bronze(EVENTS[3:])
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_events_whose_first_files_were_joined_and_deleted_are_found(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    before = bronze_files(lake)
    for event in EVENTS[2:]:
        lake.write_bronze([event])
    lake.spark.sql(f"OPTIMIZE delta.`{lake.config.bronze_path}`")
    joined = max(bronze_files(lake), key=lambda file: file.stat().st_mtime_ns)
    for file in {*bronze_files(lake)} - {*before, joined}:
        file.unlink()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_every_table_catches_up_with_its_own(lake: Lake) -> None:
    others = replace(TABLE, name="public.others")
    lake.use(replace(lake.config, tables=(TABLE, others)))
    pipeline.create_tables(lake.spark, lake.config)
    partitions = by_partition(IN_PARTITIONS)
    lake.write_bronze(partitions[0])
    lake.write_records(deliveries.records(EVENTS[:6]), table=others)
    with catching_up():
        assert lake.step()
    # What the first table is told late has it made anew; the other one goes on.
    lake.write_bronze(partitions[1])
    lake.write_records(deliveries.records(EVENTS[6:]), table=others)
    with catching_up():
        assert lake.step()
    assert without_places(lake.versions()) == without_places(history(IN_PARTITIONS))
    assert lake.versions(others) == history(EVENTS)


IN_PARTITIONS = [
    replace(event, partition=1 if event.key is None else event.key % 2)
    for event in in_order(
        *(put(key, "a", op="c") for key in (1, 2, 3, 4)),
        put(2, "b"),
        TRUNCATE,
        put(1, "a", op="c"),
        put(2, "a", op="c"),
        delete(1),
    )
]


def by_partition(events: Iterable[Event]) -> list[list[Event]]:
    """What each of two partitions has, with offsets of its own."""
    found: list[list[Event]] = [[], []]
    for event in events:
        found[event.partition].append(replace(event, offset=len(found[event.partition])))
    return found


@pytest.mark.parametrize("first", [0, 1])
def test_a_partition_that_is_behind_is_cut_by_the_truncate_at_its_place(lake: Lake, first: int) -> None:
    partitions = by_partition(IN_PARTITIONS)
    for batch in (partitions[first], partitions[1 - first]):
        lake.write_bronze(batch)
        lake.restart()
        assert lake.step()
    assert without_places(lake.versions()) == without_places(history(IN_PARTITIONS))


def test_partitions_catch_up_together(lake: Lake) -> None:
    lake.write_bronze([event for partition in by_partition(IN_PARTITIONS) for event in partition])
    with catching_up():
        assert lake.step()
    assert without_places(lake.versions()) == without_places(history(IN_PARTITIONS))


def test_the_bad_last_row_of_a_snapshot_is_foreseen(lake: Lake) -> None:
    again = [replace(event, lsn=900, tx=900) for event in in_order(snapshot(k1="b", k3="b"))]
    later = [replace(event, lsn=950, tx=950) for event in in_order(put(2, "c", op="c"))]
    events = [*in_order(snapshot(k1="a", k2="a", k3="a")), *again, *later]
    partitions = by_partition(replace(event, partition=event.key % 2) for event in events)
    *good, (*place, key, value) = deliveries.records([*partitions[0], *partitions[1]])
    told = json.loads(value)
    told["after"]["id"] = "no number"
    lake.write_records([*good, (*place, key, json.dumps(told).encode())])
    with catching_up():
        assert lake.step()
    found = [(version.key, version.status, version.to_offset) for version in lake.versions()]
    assert found == [(1, "a", 2), (1, "b", None), (2, "a", 3), (2, "c", None), (3, "a", None)]


def test_a_bad_row_of_a_snapshot_was_in_it_whatever_follows_in_its_partition(lake: Lake) -> None:
    again = [replace(event, lsn=900, tx=900) for event in in_order(snapshot(k1="b", k3="b", k2="b"))]
    later = [replace(event, lsn=950, tx=950) for event in in_order(put(1, "c"))]
    events = [*in_order(snapshot(k1="a", k2="a", k3="a")), *again, *later]
    partitions = by_partition(replace(event, partition=event.key % 2) for event in events)
    *good, (*place, key, _), last = deliveries.records([*partitions[0], *partitions[1]])
    lake.write_records([*good, (*place, key, b"no JSON"), last])
    with catching_up():
        assert lake.step()
    current = {version.key: version.status for version in lake.versions() if version.to_offset is None}
    assert current == {1: "c", 2: "b", 3: "a"}


def test_a_partition_that_catches_up_first_is_cut_by_what_the_next_one_brings(lake: Lake) -> None:
    events = in_order(put(2, "a", op="c"), put(1, "a", op="c"), TRUNCATE, put(2, "b", op="c"))
    events = [replace(event, partition=1 if event.key is None else event.key % 2) for event in events]
    lake.write_bronze([event for partition in by_partition(events) for event in partition])
    with catching_up():
        assert lake.step()
    assert lake.commits() == 2
    assert without_places(lake.versions()) == without_places(history(events))


def test_the_first_that_another_partition_brings_may_be_late(lake: Lake) -> None:
    """Until then nobody noted that an event told the same of a row once more."""
    created, truncate, again = in_order(put(2, "a", op="c"), TRUNCATE, put(2, "a", op="c"))
    for event in (created, replace(again, offset=1), replace(truncate, partition=1, offset=0)):
        lake.write_bronze([event])
        assert lake.step()
    assert without_places(lake.versions()) == without_places(history([created, truncate, again]))


def test_rows_that_somebody_deleted_are_no_heads_any_more(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    lake.spark.sql(f"DELETE FROM delta.`{lake.config.silver_path(TABLE)}` WHERE id = 1")
    lake.write_bronze(EVENTS[2:4])
    lake.step()  # a table that was changed under it is read again
    lake.silver._tables[0].backoff.succeeded()
    assert lake.step()
    rows = {(version.key, version.number): version.status for version in lake.versions()}
    assert rows == {(1, 1): "b", (2, 1): "a"}


def test_a_table_from_before_transactions_were_noted_goes_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        old = layout.EVENT.replace(", tx_id: bigint", "")
        patched.setitem(layout.HIDDEN_COLUMNS, "_applied", old)
        lake = Lake(spark, tmp_path)
    events = in_order(snapshot(k1="a", k2="a"), put(1, "b"), snapshot(k2="a", k3="a"))
    lake.write_bronze(events[:3])
    table = lake.silver._tables[0].table
    monkeypatch.setattr(table, "_declare_columns", table._take_columns)
    assert lake.step()
    path = lake.config.silver_path(TABLE)
    spark.read.format("delta").load(path).write.format("delta").mode("overwrite").save(path)
    lake.write_bronze(events[3:])
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(events)
    assert "tx_id" in spark.read.format("delta").load(path).select("_applied.*").columns


def test_many_rows_are_marked_as_deleted_in_a_file_of_their_own(lake: Lake) -> None:
    """A deletion vector that is too long for the log; every second row, so that it cannot be short."""
    first = in_order(*(put(key, "a", op="c") for key in range(2000)))
    second = in_order(*(put(key, "b") for key in range(0, 2000, 2)))
    second = [replace(event, offset=2000 + event.offset, lsn=5000 + event.lsn, tx=5000) for event in second]
    third = [replace(event, offset=4000 + event.offset, lsn=9000 + event.lsn, tx=9000) for event in second]
    for events in (first, second, [replace(event, status="c") for event in third]):
        lake.write_bronze(events)
        lake.restart()
        assert lake.step()
    folder = Path(lake.config.silver_path(TABLE).removeprefix("file://"))
    assert len(list(folder.glob("deletion_vector_*.bin"))) == 2
    shown = [(version.status, version.to_offset is None) for version in lake.versions()]
    assert Counter(shown) == {("a", True): 1000, ("a", False): 1000, ("b", False): 1000, ("c", True): 1000}


def test_the_change_feed_tells_what_changed(lake: Lake) -> None:
    lake.write_bronze(EVENTS[:2])
    lake.step()
    before = lake.commits()
    lake.write_bronze(EVENTS[2:4])
    lake.step()
    feed = delta_io.changes(lake.spark, lake.config.silver_path(TABLE), before, lake.commits())
    names = ["id", "version", "status", "is_current", "_change_type"]
    assert sorted(tuple(row) for row in feed.select(*names).collect()) == [
        (1, 1, "a", False, "update_postimage"),
        (1, 1, "a", True, "update_preimage"),
        (1, 2, "b", True, "insert"),
        (2, 1, "a", False, "update_postimage"),
        (2, 1, "a", True, "update_preimage"),
    ]


def test_what_another_pipeline_wrote_is_not_written_over(lake: Lake) -> None:
    """Two that fold the same events: the second finds that the table is not where it left it."""
    other = Silver(lake.spark, replace(lake.config, state=lake.config.state / "other"), lake.status)
    lake.write_bronze(EVENTS[:4])
    lake.step()
    other.step(threading.Event())
    lake.write_bronze(EVENTS[4:])
    assert lake.step()
    for _ in range(2):
        other.step(threading.Event())
        other._tables[0].backoff.succeeded()
    assert lake.versions() == history(EVENTS)


def test_files_that_are_joined_while_it_commits_are_no_conflict_and_double_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys alone take nothing away, so Delta puts their commit behind the other one."""
    events = in_order(*(put(key, "a", op="c") for key in (1, 2, 3)), *(put(key, "b") for key in (1, 2, 3)))
    begin = TableLog._begin

    def join_then_commit(log: TableLog, read_version: int) -> Any:
        transaction = begin(log, read_version)
        monkeypatch.undo()
        lake.spark.sql(f"OPTIMIZE delta.`{lake.config.silver_path(TABLE)}`")
        return transaction

    for event in events[:2]:
        lake.write_bronze([event])
        assert lake.step()
    lake.write_bronze(events[2:3])
    monkeypatch.setattr(TableLog, "_begin", join_then_commit)
    assert lake.step()
    for event in events[3:]:
        lake.write_bronze([event])
        assert lake.step()
    assert lake.versions() == history(events)
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(events)


def test_a_version_that_others_left_without_a_checksum_is_read_by_a_job(lake: Lake) -> None:
    path = lake.config.silver_path(TABLE)
    for event in EVENTS:
        lake.write_bronze([event])
        lake.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('of' = 'others')")
        lake.forget()
        assert lake.step()
    assert lake.versions() == history(EVENTS)


@pytest.fixture(scope="session")
def empty(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables of a lake that has seen nothing, to copy: quicker than to create them.

    Their logs have checksums, from which a copy is known without a job.
    """
    folder = tmp_path_factory.mktemp("empty")
    checksums = "spark.databricks.delta.writeChecksumFile.enabled"
    before = str(spark.conf.get(checksums))
    spark.conf.set(checksums, "true")
    Lake(spark, folder)
    spark.conf.set(checksums, before)
    return folder


@examples(200, make_smaller=False)
@given(batches=redelivered_batches(), restarts=st.sets(st.integers(0, 3)))
def test_any_batching_and_redelivery_on_delta(
    spark: SparkSession,
    empty: Path,
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[Event]],
    restarts: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    found = versions_of(spark, empty, folder, batches, restarts)
    assert found == history([event for batch in batches for event in batch])


def versions_of(
    spark: SparkSession,
    empty: Path,
    folder: Path,
    batches: Iterable[list[Event]],
    restarts: Collection[int],
    backlogs: Collection[int] = (),
) -> list[Version]:
    """What becomes of batches in a lake of their own.

    Args:
        spark: The session.
        empty: A lake that has seen nothing.
        folder: Where it is to be.
        batches: The batches.
        restarts: Before which of them, by number, it starts anew.
        backlogs: Which of them it takes in pieces, as if it had to catch up.
    """
    shutil.copytree(empty, folder, dirs_exist_ok=True)
    lake = Lake(spark, folder)
    try:
        for number, batch in enumerate(filter(None, batches), 1):
            if number in restarts:  # and bronze went on with what concerns nobody
                lake.write_records([deliveries.record(10_000 + number, {"id": 1}, None)])
                assert lake.step()
            lake.write_bronze(batch)
            if number in restarts:
                lake.restart()
            with catching_up() if number in backlogs else nullcontext():
                assert lake.step()
        return lake.versions()
    finally:
        lake.forget()
        shutil.rmtree(folder)


@examples(6, make_smaller=False)
@given(stream=spread_batches(), restarts=st.sets(st.integers(0, 3)), backlogs=st.sets(st.integers(1, 3)))
def test_any_interleaving_of_partitions_on_delta(
    spark: SparkSession,
    empty: Path,
    tmp_path_factory: pytest.TempPathFactory,
    stream: tuple[list[Event], list[list[Event]]],
    restarts: set[int],
    backlogs: set[int],
) -> None:
    committed, batches = stream
    found = versions_of(spark, empty, tmp_path_factory.mktemp("lake"), batches, restarts, backlogs)
    assert without_places(found) == without_places(history(committed))
