"""Kafka to bronze: every record once, untouched, in one append-only table.

There is no checkpoint to lose or to disagree with: each start goes on behind the last offset that bronze
itself holds, and a batch is one Delta commit. Spark fetches a batch's records; they are judged and written
in the driver, by the code that silver reads them with.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse import delta_io, envelope, kafka, latency, retention
from lakehouse.config import Config, Source
from lakehouse.delta_log import TableLog
from lakehouse.status import Status, failure

MAX_RECORDS = 50_000
"""The most records in a batch; bounds the memory it takes."""

_FEWER = 20
"""How many times fewer records are tried when a batch fails, twice: of large rows fewer fit into memory."""

STATS = ["source_table", "epoch", "partition", "offset", "lsn", "error"]
_STOP_WITHIN = 15.0
_TRIM_AGAIN = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicState:
    """What bronze holds of a topic: its last epoch, and the highest offsets of it and of others of the topic.

    A topic outlives a failover of the database, which begins an epoch; a partition that the new one has not
    used goes on where it was.
    """

    epoch: str | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)
    bad: int = 0
    """How many records of all its epochs are in quarantine."""


def create_table(spark: SparkSession, config: Config) -> None:
    """Creates bronze.change_events if it is missing."""
    delta_io.create_if_missing(
        spark,
        config.bronze_path,
        envelope.BRONZE_SCHEMA,
        {
            "delta.appendOnly": "true",
            "delta.enableChangeDataFeed": "true",
            "delta.feature.domainMetadata": "supported",
            "delta.dataSkippingStatsColumns": ",".join(STATS),
        },
    )


def stored_state(bronze: DataFrame) -> dict[str, TopicState]:
    """What bronze holds, by topic."""
    states: dict[str, TopicState] = {}
    of_partitions = bronze.groupBy("topic", "epoch", "partition")
    rows = of_partitions.agg(F.max("offset").alias("offset"), F.count("error").alias("bad")).collect()
    for row in sorted(rows, key=lambda row: row.epoch):
        state = states.get(row.topic, TopicState())
        goes_on = state.epoch is not None and _topic_id(state.epoch) == _topic_id(row.epoch)
        offsets = dict(state.offsets) if goes_on else {}
        offsets[row.partition] = max(row.offset, offsets.get(row.partition, -1))
        states[row.topic] = TopicState(row.epoch, offsets, state.bad + row.bad)
    return states


def _topic_id(epoch: str) -> str:
    return epoch.rpartition("/")[2]


def current_epoch(state: TopicState, source: Source, topic: kafka.Topic) -> str:
    """The epoch of the topic's next records.

    It names the database cluster, its timeline and the topic. A number in front makes epochs sort in the
    order they began.
    """
    identity = f"{source.system_id}/{source.timeline}/{topic.id}"
    number, _, last = (state.epoch or "0000/").partition("/")
    return f"{number}/{last}" if last == identity else f"{int(number) + 1:04d}/{identity}"


def starting_offsets(name: str, state: TopicState, topic: kafka.Topic) -> dict[int, int]:
    """Where to go on in each partition.

    Raises:
        kafka.KafkaError: Records that bronze does not have are no longer in Kafka.
    """
    known = state.offsets if state.epoch and _topic_id(state.epoch) == topic.id else {}
    start = {}
    for partition, earliest in topic.earliest.items():
        start[partition] = known.get(partition, -1) + 1
        if not earliest <= start[partition] <= topic.latest[partition]:
            raise kafka.KafkaError(
                f"bronze goes on at offset {start[partition]} of {name}-{partition}, but Kafka holds "
                f"{earliest} to {topic.latest[partition]}: change events are lost. Delete the topic, "
                "run site.yml, and take a new snapshot of the table: docs/operations.md, 'Events are lost'"
            )
    return start


class Bronze:
    """The bronze layer."""

    name = "bronze"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._envelopes = envelope.Envelopes(config.topics)
        self._log = TableLog(spark, config.bronze_path)
        self._upkeep = delta_io.Upkeep(spark, config.bronze_path, append_only=True)
        self._writer = str(uuid.uuid4())
        self._bad: Counter[str] = Counter()
        self._trim_at = 0.0 if config.bronze_retention_days else math.inf

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs until told to stop, or with `available_now` until bronze has what is in Kafka now."""
        limit = MAX_RECORDS
        while True:
            if not available_now and time.monotonic() >= self._trim_at:
                self._trim()
            try:
                if self._stream(stop, available_now, limit):
                    return
                limit = MAX_RECORDS
            except StreamingQueryException as error:
                if limit <= MAX_RECORDS // _FEWER**2:
                    raise
                limit //= _FEWER
                log.warning("bronze: a batch failed; tried again with up to %d records: %s", limit, error)

    def _stream(self, stop: threading.Event, available_now: bool, limit: int) -> bool:
        """Runs with batches of up to `limit` records.

        Returns:
            False when it has to begin anew: it has caught up, and batches may be larger; or old events are to
            go.
        """
        query = self._start(available_now, limit)
        self._status.running(self.name)
        try:
            while query.isActive and not stop.wait(0.5):
                caught_up = self._report(query) and limit < MAX_RECORDS
                if not available_now and (caught_up or time.monotonic() >= self._trim_at):
                    _await_batch(query)
                    return False
            if stop.is_set():
                _await_batch(query)
            elif error := query.exception():
                raise error
            return True
        finally:
            query.stop()
            delta_io.finish_upkeep()

    def _trim(self) -> None:
        """Deletes what is too old. Who writes bronze does it, and what goes wrong there does not stop him."""
        self._trim_at = time.monotonic() + self._config.triggers.maintenance
        try:
            retention.trim(self._spark, self._config, self._config.bronze_retention_days)
        except Exception as error:
            log.exception("bronze: old events could not be deleted; next try in %.0f s", _TRIM_AGAIN)
            self._status.maintenance(**failure(error))
            self._trim_at = time.monotonic() + _TRIM_AGAIN

    def _start(self, available_now: bool, limit: int) -> StreamingQuery:
        self._version = self._log.version
        topics = kafka.describe(self._spark, self._config.kafka, self._config.topics)
        stored = stored_state(delta_io.read(self._spark, self._config.bronze_path, self._version))
        states = {name: stored.get(name, TopicState()) for name in topics}
        self._bad = Counter({self._config.topics[name].name: state.bad for name, state in states.items()})
        self._status.quarantine(self._bad)
        epochs = {
            name: current_epoch(states[name], self._config.source, topic) for name, topic in topics.items()
        }
        for name, epoch in epochs.items():
            if states[name].epoch not in (None, epoch):
                log.warning(
                    "%s begins a new epoch, %s after %s: take a new snapshot of its table",
                    name,
                    epoch,
                    states[name].epoch,
                )
        start = {name: starting_offsets(name, states[name], topic) for name, topic in topics.items()}
        options = {f"kafka.{key}": value for key, value in kafka.client_options(self._config.kafka).items()}
        records = (
            self._spark.readStream.format("kafka")
            .options(**options)
            .option("subscribe", ",".join(topics))
            .option("startingOffsets", json.dumps(start))
            .option("failOnDataLoss", "true")
            .option("includeHeaders", "true")
            .option("maxOffsetsPerTrigger", limit)
            .load()
        )
        writer = records.writeStream.queryName("bronze").foreachBatch(
            lambda batch, _: self._append(batch, epochs)
        )
        if available_now:
            return writer.trigger(availableNow=True).start()
        return writer.trigger(processingTime=f"{self._config.triggers.bronze} seconds").start()

    def _append(self, batch: DataFrame, epochs: Mapping[str, str]) -> None:
        began = time.monotonic()
        # One task: to start more costs more than they save.
        records = batch.select(*envelope.RECORDS.names).coalesce(1).toArrow()
        if not records.num_rows:
            return
        rows = self._envelopes.bronze_rows(records, epochs, time.time_ns() // 1000)
        try:
            self._version = self._log.append(rows, STATS, {"writer": self._writer}, self._version)
        finally:
            self._status.changed(self.name)
        self._bad.update(rows["source_table"].filter(pc.is_valid(rows["error"])).to_pylist())
        self._status.quarantine(self._bad)
        changes = rows.filter(pc.fill_null(pc.not_equal(rows["op"], "r"), False))["source_ts"]
        committed = pc.divide(pc.drop_null(changes).cast(pa.int64()), 1000).to_pylist()
        self._status.batch(self.name, time.monotonic() - began, rows.num_rows, [latency.sample(committed)])
        self._status.files("bronze.change_events", self._upkeep.after_batch())

    def _report(self, query: StreamingQuery) -> bool:
        """Tells how far it is; true when bronze has all that Kafka had at the last look."""
        progress: Any = query.lastProgress
        if progress is None or not progress["sources"]:
            return False
        source = progress["sources"][0]
        done, there = (json.loads(source[name] or "{}") for name in ("endOffset", "latestOffset"))
        lag = {
            topic: sum(
                offset - done.get(topic, {}).get(partition, 0) for partition, offset in partitions.items()
            )
            for topic, partitions in there.items()
        }
        self._status.kafka(lag)
        if not any(lag.values()):
            self._status.complete(self.name, datetime.fromisoformat(progress["timestamp"]).timestamp())
        return not any(lag.values())


def _await_batch(query: StreamingQuery) -> None:
    """Lets a batch that is under way come to its end."""
    deadline = time.monotonic() + _STOP_WITHIN
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
        time.sleep(0.1)
