"""Bronze: batches of Kafka's records become rows of one table, each in one commit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import deliveries
import pytest
from chain import Chain, changes
from deliveries import EPOCH, TOPIC
from lakehouse import bronze
from lakehouse.bronze import Bronze, TopicState
from lakehouse.delta_io import Upkeep, finish_upkeep
from lakehouse.delta_log import Conflict, TableLog
from lakehouse.status import Status
from pyspark.sql import DataFrame, SparkSession
from streams import in_order, put
from test_silver import Lake

KAFKA = (
    "topic string, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>, key binary, value binary"
)
RECORDS = deliveries.records(in_order(put(1, "a", op="c"), put(2, "b", op="c"), put(1, "c")))


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path)


def start(lake: Lake) -> Bronze:
    layer = Bronze(lake.spark, lake.config, Status())
    layer._version = layer._log.version
    return layer


def append(lake: Lake, layer: Bronze, *records: tuple[object, ...]) -> None:
    layer._append(lake.spark.createDataFrame(list(records), KAFKA), {TOPIC: EPOCH})


def offsets(lake: Lake) -> list[int]:
    rows = lake.spark.read.format("delta").load(lake.config.bronze_path).orderBy("offset")
    return [row.offset for row in rows.select("offset").collect()]


def test_a_batch_is_one_commit_and_silver_reads_it(lake: Lake) -> None:
    layer, log = start(lake), TableLog(lake.spark, lake.config.bronze_path)
    before = log.version
    append(lake, layer, *RECORDS[:2])
    append(lake, layer)
    append(lake, layer, RECORDS[2], deliveries.record(3, {"id": 1}, b"{not json"))
    assert log.version == before + 2
    assert offsets(lake) == [0, 1, 2, 3]
    assert layer._status.as_json()["quarantine"] == {"public.things": 1}
    assert lake.step()
    assert [version.status for version in lake.versions()] == ["a", "c", "b"]
    stored = bronze.stored_state(lake.spark.read.format("delta").load(lake.config.bronze_path))
    assert stored == {TOPIC: TopicState(EPOCH, {0: 3}, bad=1)}


def test_a_batch_that_is_too_large_is_tried_in_smaller_ones(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many records as ever, but so large that they do not fit into memory together."""
    original, sizes = Bronze._append, []

    def append(layer: Bronze, batch: DataFrame, epochs: Mapping[str, str]) -> None:
        sizes.append(batch.count())
        if sizes[-1] > 130:
            raise MemoryError
        original(layer, batch, epochs)

    monkeypatch.setattr(Bronze, "_append", append)
    chain.send(changes(3, 150))
    chain.run()
    chain.check()
    assert sizes == [150, 150, 125, 25]


def test_it_goes_on_after_its_files_were_joined(lake: Lake) -> None:
    layer = start(lake)
    for record in RECORDS[:2]:
        append(lake, layer, record)
    lake.spark.sql(f"OPTIMIZE delta.`{lake.config.bronze_path}`")
    append(lake, layer, RECORDS[2])
    assert offsets(lake) == [0, 1, 2]


def test_batches_do_not_wait_while_files_are_joined(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    batches_are_done, join = threading.Event(), Upkeep._join

    def slow(upkeep: Upkeep) -> None:
        assert batches_are_done.wait(60)
        join(upkeep)

    monkeypatch.setattr(Upkeep, "FILES", 1)
    monkeypatch.setattr(Upkeep, "_join", slow)
    layer = start(lake)
    append(lake, layer, RECORDS[0])
    append(lake, layer, RECORDS[1])
    assert offsets(lake) == [0, 1]
    batches_are_done.set()
    finish_upkeep()
    append(lake, layer, RECORDS[2])
    assert offsets(lake) == [0, 1, 2]
    history = lake.spark.sql(f"DESCRIBE HISTORY delta.`{lake.config.bronze_path}`").collect()
    assert "OPTIMIZE" in [row.operation for row in history]


def test_it_stops_when_files_cannot_be_joined(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Upkeep, "FILES", 1)
    monkeypatch.setattr(Upkeep, "_join", Mock(side_effect=OSError("the disk is full")))
    layer = start(lake)
    append(lake, layer, RECORDS[0])
    finish_upkeep()
    with pytest.raises(OSError, match="the disk is full"):
        append(lake, layer, RECORDS[1])
    assert offsets(lake) == [0, 1]
    append(lake, layer, RECORDS[2])  # told once; it is tried again
    assert offsets(lake) == [0, 1, 2]


def test_it_stops_when_somebody_else_added_rows(lake: Lake) -> None:
    """Two pipelines: the second would store the same records again."""
    layer, other = start(lake), start(lake)
    append(lake, other, RECORDS[0])
    with pytest.raises(Conflict):
        append(lake, layer, RECORDS[0])
    assert offsets(lake) == [0]
