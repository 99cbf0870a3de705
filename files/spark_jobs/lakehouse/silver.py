"""Bronze to silver: reads what is new in bronze, and merges each table's events into its history.

There is no checkpoint. How far a table has come stands in its own rows: every event that changed
something left its position there, and those that changed nothing may come again. A table that starts,
failed or was restored goes on from its own content; from then on it reads bronze's new commits alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse import delta_io, envelope, latency, pgtypes, scd2
from lakehouse.config import Config, Table
from lakehouse.retry import Backoff
from lakehouse.status import Status, failure

CHUNK = 250_000
"""Events of a partition that a table applies at once when it catches up."""

_PARALLEL_TABLES = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cursor:
    """How far a table has come: past all earlier epochs, and up to an offset of each partition of this."""

    epoch: str | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)

    def beyond(self) -> Column:
        """Whether a bronze row comes after the cursor."""
        if self.epoch is None:
            return F.lit(True)
        epoch, partition, offset = F.col("epoch"), F.col("partition"), F.col("offset")
        passed = reduce(
            or_, ((partition == p) & (offset <= o) for p, o in self.offsets.items()), F.lit(False)
        )
        return (epoch > self.epoch) | ((epoch == self.epoch) & ~passed)

    def past(self, positions: Iterable[Row]) -> Cursor:
        """The cursor when it has passed these positions, too."""
        cursor = self
        for row in sorted(positions, key=lambda row: row.epoch):
            if cursor.epoch is None or row.epoch >= cursor.epoch:
                offsets = cursor.offsets if row.epoch == cursor.epoch else {}
                offset = max(row.offset, offsets.get(row.partition, row.offset))
                cursor = Cursor(row.epoch, {**offsets, row.partition: offset})
        return cursor


@dataclass(frozen=True)
class Look:
    """What a first look at a batch of events tells, to decide how it is applied."""

    events: int
    ends: list[Row]  # the last position of each epoch and partition
    min_lsn: int
    max_lsn: int
    keys: tuple[str, str] | None  # the least and greatest first key column, when all are of one partition
    truncates: bool
    gaps: bool
    commit_times: list[Row]


def create_tables(spark: SparkSession, config: Config) -> None:
    """Creates the backing tables that are missing."""
    for table in config.tables:
        filtered_on = [*(f"`{name}`" for name in table.key), "_applied"]
        delta_io.create_if_missing(
            spark,
            config.silver_path(table),
            scd2.silver_schema(table),
            {"delta.enableChangeDataFeed": "true", "delta.dataSkippingStatsColumns": ",".join(filtered_on)},
            partitioned_by="_head",
        )


class SilverTable:
    """One table's history, and how far it has come."""

    def __init__(self, spark: SparkSession, config: Config, table: Table) -> None:
        self.table = table
        self.cursor = Cursor()
        self._spark = spark
        self._path = config.silver_path(table)
        self.upkeep = delta_io.Upkeep(spark, self._path)
        self._first_key = table.column(table.key[0])
        self._max_lsn: int | None = None

    def recover(self, bronze: DataFrame) -> Iterator[DataFrame]:
        """Takes the cursor from the table's content, and cuts what bronze has beyond it into batches."""
        mine = bronze.where(F.col("source_table") == self.table.name)
        applied = self._heads().groupBy("_applied.epoch", "_applied.partition")
        self.cursor = Cursor().past(applied.agg(F.max("_applied.offset").alias("offset")).collect())
        self._max_lsn = None
        if self.cursor.epoch is not None:
            passed = mine.where(~self.cursor.beyond()).agg(F.max("lsn").alias("lsn")).collect()
            self._max_lsn = passed[0].lsn
        beyond = mine.where(self.cursor.beyond())
        ranges = (
            beyond.groupBy("epoch", "partition")
            .agg(F.min("offset").alias("low"), F.max("offset").alias("high"))
            .collect()
        )
        for epoch in sorted({row.epoch for row in ranges}):
            yield from _chunks(beyond, epoch, [row for row in ranges if row.epoch == epoch])

    def apply(self, rows: DataFrame, bronze: DataFrame) -> Look:
        """Merges a batch of the table's bronze rows, which follows on what was applied before.

        Args:
            rows: The rows.
            bronze: All of bronze, to look up whether an event was delivered before.
        """
        # Computed once, and out of the planning of what follows.
        events = envelope.events(rows, self.table).localCheckpoint(eager=False)
        look = self._look(events)
        if look.events:
            self._merge(self._versions(events, bronze, look), look)
            self.cursor = self.cursor.past(look.ends)
            self._max_lsn = look.max_lsn if self._max_lsn is None else max(self._max_lsn, look.max_lsn)
        return look

    def _look(self, events: DataFrame) -> Look:
        key = F.col(self.table.key[0])
        ends = (
            events.groupBy("position.epoch", "position.partition")
            .agg(
                F.max("position.offset").alias("offset"),
                F.count("*").alias("events"),
                F.min("lsn").alias("min_lsn"),
                F.max("lsn").alias("max_lsn"),
                F.min(key).cast("string").alias("min_key"),
                F.max(key).cast("string").alias("max_key"),
                F.max(F.col("op") == "t").alias("truncates"),
                F.max(F.size("unavailable") > 0).alias("gaps"),
                latency.commit_times(F.col("source_ts"), F.col("op") != "r").alias("commit_times"),
            )
            .collect()
        )
        return Look(
            events=sum(row.events for row in ends),
            ends=ends,
            min_lsn=min((row.min_lsn for row in ends), default=0),
            max_lsn=max((row.max_lsn for row in ends), default=0),
            keys=(ends[0].min_key, ends[0].max_key)
            if len(ends) == 1 and ends[0].min_key is not None
            else None,
            truncates=any(row.truncates for row in ends),
            gaps=any(row.gaps for row in ends),
            commit_times=[row.commit_times for row in ends],
        )

    def _versions(self, events: DataFrame, bronze: DataFrame, look: Look) -> DataFrame:
        """The versions that the batch adds or changes."""
        events = scd2.first_deliveries(events)
        if self._max_lsn is not None and look.min_lsn <= self._max_lsn:
            # Only an event whose LSN is not beyond all before it can have been delivered before.
            seen = F.col("lsn").between(look.min_lsn, min(look.max_lsn, self._max_lsn))
            past = bronze.where((F.col("source_table") == self.table.name) & seen)
            events = scd2.not_delivered_before(events, envelope.identities(past))
        truncates = scd2.truncates(events) if look.truncates else []
        events = events.where("op <> 't'")
        heads = self._heads()
        if not truncates:
            touched = events.select(*self.table.key).distinct()
            heads = heads.where(self._near(look)).join(touched, [*self.table.key], "left_semi")
        if look.gaps:
            events = scd2.carry_forward(events, heads, self.table)
        return scd2.fold(events, heads, self.table, truncates)

    def _merge(self, versions: DataFrame, look: Look) -> None:
        versions = versions.localCheckpoint(eager=False)  # computed once, and out of the merge's own planning
        counts = versions.groupBy("_known").count().collect()
        batch = versions.drop("_known")
        if any(count["_known"] for count in counts):
            keys = " AND ".join(f"target.`{name}` = batch.`{name}`" for name in self.table.key)
            near = "true" if look.truncates else self._near(look, "target.")
            on = f"{keys} AND target.version = batch.version AND target._head AND {near}"
            clauses = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            delta_io.merge(self._spark, self._path, batch, on, clauses)
        elif counts:
            delta_io.append(batch, self._path)

    def _heads(self) -> DataFrame:
        return self._spark.read.format("delta").load(self._path).where("_head")

    def _near(self, look: Look, prefix: str = "") -> str:
        """A condition that leaves out files which cannot hold a key of the batch."""
        if look.keys is None:
            return "true"
        kind = pgtypes.spark_type(self._first_key.type)
        low, high = (f"cast({_quoted(key)} AS {kind})" for key in look.keys)
        return f"{prefix}`{self._first_key.name}` BETWEEN {low} AND {high}"


@dataclass
class _Progress:
    """A table, and the bronze version up to which it follows; None: it has to recover first."""

    table: SilverTable
    version: int | None = None
    backoff: Backoff = field(default_factory=Backoff)


class Silver:
    """The silver layer: every table by itself, so that one that fails stops no other."""

    name = "silver"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._tables = [_Progress(SilverTable(spark, config, table)) for table in config.tables]
        self._threads = ThreadPoolExecutor(_PARALLEL_TABLES, self.name)

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs until told to stop, or with `available_now` until silver has what bronze has now."""
        self._status.running(self.name)
        while not stop.is_set():
            began, as_of = time.monotonic(), self._status.source_as_of(self.name)
            complete = self.step(stop)
            if complete:
                self._status.complete(self.name, as_of)
            if available_now:
                failed = [progress.table.table.name for progress in self._tables if progress.version is None]
                if failed and not stop.is_set():
                    raise SilverError(f"these tables failed, see the log: {', '.join(failed)}")
                return
            stop.wait(max(0.0, self._config.triggers.silver - (time.monotonic() - began)))

    def step(self, stop: threading.Event) -> bool:
        """Applies what bronze has; true when every table has it all."""
        upto = delta_io.latest_version(self._spark, self._config.bronze_path)
        bronze = delta_io.read(self._spark, self._config.bronze_path, upto)
        work: list[tuple[_Progress, Iterable[DataFrame]]] = [
            (progress, progress.table.recover(bronze))
            for progress in self._tables
            if progress.version is None and progress.backoff.due
        ]
        news = []
        for version in {
            progress.version for progress in self._tables if progress.version not in (None, upto)
        }:
            new = delta_io.changes(self._spark, self._config.bronze_path, version, upto)
            new = new.where("_change_type = 'insert'").persist()
            news.append(new)
            present = {row.source_table for row in new.select("source_table").distinct().collect()}
            for progress in self._tables:
                name = progress.table.table.name
                if progress.version == version:
                    work.append(
                        (progress, [new.where(F.col("source_table") == name)] if name in present else [])
                    )
        list(self._threads.map(lambda item: self._attempt(item[0], item[1], bronze, upto, stop), work))
        for new in news:
            new.unpersist()
        return all(progress.version == upto for progress in self._tables)

    def _attempt(
        self,
        progress: _Progress,
        batches: Iterable[DataFrame],
        bronze: DataFrame,
        upto: int,
        stop: threading.Event,
    ) -> None:
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", self.name)
        table = progress.table
        try:
            for rows in batches:
                if stop.is_set():
                    progress.version = None
                    return
                began = time.monotonic()
                look = table.apply(rows, bronze)
                self._status.batch(self.name, time.monotonic() - began, look.events, look.commit_times)
            self._status.files(f"silver.{table.table.short_name}", table.upkeep.after_batch())
        except Exception as error:
            progress.version = None
            wait = progress.backoff.failed()
            log.exception("silver.%s failed; next try in %.0f s", table.table.short_name, wait)
            self._status.table(table.table.short_name, **failure(error))
        else:
            progress.version = upto
            progress.backoff.succeeded()
            self._status.table(
                table.table.short_name,
                state="running",
                error=None,
                bronze_version=upto,
                epoch=table.cursor.epoch,
                offsets=dict(table.cursor.offsets),
            )


class SilverError(Exception):
    """Tables failed in a run that ends when bronze's present content is applied."""


def _chunks(rows: DataFrame, epoch: str, ranges: list[Row]) -> Iterator[DataFrame]:
    """Cuts an epoch's rows into batches of up to CHUNK offsets a partition, in order."""
    rows = rows.where(F.col("epoch") == epoch)
    for step in range(0, max(row.high - row.low for row in ranges) + 1, CHUNK):
        in_chunk = (
            (F.col("partition") == row.partition)
            & F.col("offset").between(row.low + step, row.low + step + CHUNK - 1)
            for row in ranges
        )
        yield rows.where(reduce(or_, in_chunk))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
