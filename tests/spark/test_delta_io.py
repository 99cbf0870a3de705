"""What the layers share on real Delta tables."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lakehouse import delta_io
from lakehouse.delta_log import TableLog
from lakehouse.layout import quoted
from pyroaring import BitMap64
from pyspark.sql import SparkSession

COMMITS = 35
"""More than Delta would make without a checkpoint by itself, as it was set."""


@pytest.mark.parametrize("restart_every", [100, 4])
def test_small_files_are_joined_now_and_then_and_not_at_every_batch(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart_every: int
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "FILES", 6)
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.appendOnly": "true"})
    upkeep = delta_io.Upkeep(spark, path)
    for number in range(14):
        if number % restart_every == 0:
            upkeep = delta_io.Upkeep(spark, path)
        spark.range(number, number + 1).coalesce(1).write.format("delta").mode("append").save(path)
        files = upkeep.after_batch()
        assert files is not None
        assert files <= delta_io.Upkeep.FILES
    operations = [row.operation for row in spark.sql(f"DESCRIBE HISTORY delta.`{path}`").collect()]
    assert operations.count("OPTIMIZE") == 2
    rows = spark.read.format("delta").load(path).collect()
    assert sorted(row.id for row in rows) == list(range(14))


def test_large_files_do_not_keep_the_rows_that_are_deleted(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "FILES", 4)
    path, count = f"file://{tmp_path}/table", 700_000
    properties = {"delta.enableDeletionVectors": "true", "delta.feature.domainMetadata": "supported"}
    delta_io.create_if_missing(spark, path, "id bigint, told string", properties)
    log, upkeep = TableLog(spark, path), delta_io.Upkeep(spark, path)
    dice = random.Random(1)
    for number in range(2):
        told = [dice.randbytes(32).hex() for _ in range(count)]
        rows = pa.table({"id": range(number * count, (number + 1) * count), "told": told})
        log.append(rows, ["id"], {}, log.version)
    large = log.files({})
    assert all(file.add["size"] > 17 * 1024 * 1024 for file in large)
    deleted = {file.path: (file, BitMap64(range(0, count, 2))) for file in large}
    log.commit([], [], deleted, {}, log.version)
    for number in range(4):
        row = pa.table({"id": [-number], "told": ["small"]})
        log.append(row, ["id"], {}, log.version)
        upkeep.after_batch()
    assert not any(file.deleted for file in log.files({}))
    (kept,) = spark.read.format("delta").load(path).selectExpr("count(*)", "count_if(id % 2 = 1)").collect()
    assert tuple(kept) == (count + 4, count)


def test_versions_that_are_old_go_and_the_table_stays(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "VERSIONS", 8)
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.enableChangeDataFeed": "true"})
    upkeep = delta_io.Upkeep(spark, path)
    for number in range(24):
        spark.range(number, number + 1).coalesce(1).write.format("delta").mode("append").save(path)
        if number == 15:
            age(tmp_path, 3 * 3600)
        upkeep.after_batch()
        delta_io.finish_upkeep()
    earliest = delta_io.earliest_version(spark, path)
    assert 8 <= earliest <= 16
    kept = delta_io.changes(spark, path, 17, 24).collect()
    assert sorted(row.id for row in kept) == list(range(17, 24))
    assert ids_as_seen_by_a_new_reader(spark, path) == list(range(24))


@pytest.mark.parametrize("days", [0.1, 3])  # Delta deletes by whole days, by itself
def test_who_commits_without_a_look_at_the_log_goes_on_when_its_beginning_goes(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "VERSIONS", 8)
    monkeypatch.setattr(delta_io.Upkeep, "FILES", 1000)  # joining them is a look at the log
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.feature.domainMetadata": "supported"})
    table, upkeep = TableLog(spark, path), delta_io.Upkeep(spark, path)
    for number in range(34):
        table.append(pa.table({"id": [number]}), ["id"], {"number": number}, table.known_version)
        if number == 19:
            age(tmp_path, days * 24 * 3600)
        upkeep.after_batch()
        delta_io.finish_upkeep()
    assert delta_io.earliest_version(spark, path) >= 8
    assert ids_as_seen_by_a_new_reader(spark, path) == list(range(34))


def test_a_checkpoint_of_the_log_keeps_no_commit_waiting(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "VERSIONS", 2)
    monkeypatch.setattr(delta_io.Upkeep, "FILES", 1000)
    commits_are_done, write = threading.Event(), delta_io.Upkeep._write_checkpoint

    def slow(upkeep: delta_io.Upkeep) -> None:
        assert commits_are_done.wait(60)
        write(upkeep)

    monkeypatch.setattr(delta_io.Upkeep, "_write_checkpoint", slow)
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.feature.domainMetadata": "supported"})
    table, upkeep = TableLog(spark, path), delta_io.Upkeep(spark, path)
    for number in range(COMMITS):
        table.append(pa.table({"id": [number]}), ["id"], {}, table.known_version)
        upkeep.after_batch()
    log = tmp_path / "table" / "_delta_log"
    assert not list(log.glob("*.checkpoint.parquet"))
    commits_are_done.set()
    delta_io.finish_upkeep()
    assert [file.name for file in log.glob("*.checkpoint.parquet")] == [f"{COMMITS:020}.checkpoint.parquet"]
    assert ids_as_seen_by_a_new_reader(spark, path) == list(range(COMMITS))


def test_a_checkpoint_that_fails_is_told_once_and_tried_again(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_io.Upkeep, "VERSIONS", 3)
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.feature.domainMetadata": "supported"})
    table, upkeep = TableLog(spark, path), delta_io.Upkeep(spark, path)
    log = tmp_path / "table" / "_delta_log"
    first = log / f"{0:020}.json"
    for number in range(2):
        table.append(pa.table({"id": [number]}), ["id"], {}, table.known_version)
    away = first.rename(tmp_path / "away")
    upkeep.after_batch()
    delta_io.finish_upkeep()
    away.rename(first)
    with pytest.raises(Exception, match=first.name):
        upkeep.after_batch()
    upkeep.after_batch()
    delta_io.finish_upkeep()
    assert [file.name for file in log.glob("*.checkpoint.parquet")] == [f"{2:020}.checkpoint.parquet"]


def age(folder: Path, seconds: float) -> None:
    """Makes a table's log look as old as that."""
    for number, file in enumerate(sorted((folder / "table" / "_delta_log").glob("0*"))):
        moment = time.time() - seconds + number
        os.utime(file, (moment, moment))


def ids_as_seen_by_a_new_reader(spark: SparkSession, path: str) -> list[int]:
    jvm: Any = spark._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    return sorted(row.id for row in spark.read.format("delta").load(path).collect())


def test_braces_in_the_condition_of_a_merge_are_just_text(spark: SparkSession, tmp_path: Path) -> None:
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id string, n int", {"delta.enableChangeDataFeed": "true"})
    spark.createDataFrame([("{{x}", 1), ("other", 1)], "id string, n int").write.format("delta").mode(
        "append"
    ).save(path)
    batch = spark.createDataFrame([("{{x}", 2)], "id string, n int")
    same = "target.id = batch.id AND target.id BETWEEN '{{x}' AND '{{x}'"
    delta_io.merge(spark, path, batch, same, "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
    rows = spark.read.format("delta").load(path).collect()
    assert {(row.id, row.n) for row in rows} == {("{{x}", 2), ("other", 1)}


def test_a_property_may_be_any_text(spark: SparkSession, tmp_path: Path) -> None:
    path, name = f"file://{tmp_path}/table", "delta.dataSkippingStatsColumns"
    column = quoted("it's\\a")
    delta_io.create_if_missing(spark, path, f"{column} int, b int", {name: f"{column},b"})
    (told,) = spark.sql(f"SHOW TBLPROPERTIES delta.`{path}` ('{name}')").collect()
    assert told.value == f"{column},b"


def test_a_reader_that_comes_new_knows_a_small_commit_by_its_checksum(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.feature.domainMetadata": "supported"})
    log = TableLog(spark, path)
    for number in range(3):
        log.append(pa.table({"id": [number]}), ["id"], {"number": number}, log.version)
    jvm: Any = spark._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    snapshot = delta_io._log(spark, path).unsafeVolatileSnapshot()
    checksum = snapshot.checksumOpt().get()
    assert (snapshot.version(), checksum.numFiles(), checksum.allFiles().get().size()) == (3, 3, 3)
