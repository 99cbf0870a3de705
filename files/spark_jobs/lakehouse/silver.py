"""Bronze to silver: reads what is new in bronze, and folds each table's events into its history.

How far a table has come stands in its own commits; it goes on from there, and reads bronze's new commits
alone. Where they are too many, or not in bronze's log any more, bronze is asked instead. The work of a
batch is done in the driver: it is small, and a Spark job for each table would cost many times as much.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse import columns, delta_io, latency, pace, pgtypes, retention, values
from lakehouse.config import Config, Table
from lakehouse.cursor import Cursor
from lakehouse.delta_log import TableLog
from lakehouse.events import COLUMNS, good
from lakehouse.jvm import frame, use
from lakehouse.layout import HIDDEN_COLUMNS, HISTORY_COLUMNS, quoted
from lakehouse.retry import Backoff
from lakehouse.scd2 import Key, OutOfOrder
from lakehouse.silver_table import SilverTable
from lakehouse.status import Status, failure

CHUNK = 50_000
"""The most events that a table applies at once when it catches up; bounds the memory they take."""

_CHUNK_BYTES = 64 << 20
_PIECE = 500
"""Offsets that are read together at least: more of the largest records would not fit."""

_PARALLEL_TABLES = 2

log = logging.getLogger(__name__)


def create_tables(spark: SparkSession, config: Config) -> None:
    """Creates the backing tables that are missing."""
    for table in config.tables:
        delta_io.create_if_missing(
            spark,
            config.silver_path(table),
            _schema(table),
            {
                "delta.enableChangeDataFeed": "true",
                "delta.enableDeletionVectors": "true",
                "delta.enableTypeWidening": "true",
                "delta.feature.domainMetadata": "supported",
                "delta.dataSkippingStatsColumns": ",".join(map(quoted, _with_stats(table))),
            },
            partitioned_by="_head",
        )


def empty(spark: SparkSession, config: Config, table: Table) -> None:
    """Empties a table, so that it is made from bronze when silver runs the next time.

    It keeps its columns, also those that the source has dropped; but for their types where it could not take
    the source's rows. Of what bronze has no events of any more it keeps the history: see `retention`.

    A column that was renamed or got another type has values in the source that no event told. Until a new
    snapshot has told them, such a table stays as it is, and goes on standing.
    """
    with retention.untrimmed():
        base = retention.base(spark, config, table)
        stored = TableLog(spark, config.silver_path(table))
        if waits_for_snapshot(spark, config, table):
            log.warning("silver.%s waits for a snapshot, and stays as it is", table.short_name)
        elif not fits(table, stored):
            stored.clear()
            schema = _schema(table, stored.columns)
            delta_io.change_schema(spark, config.silver_path(table), schema, partitioned_by="_head")
        elif base is None:
            stored.clear()
        elif stored.metadata:
            retention.take_back(spark, config, table, base)


def waits_for_snapshot(spark: SparkSession, config: Config, table: Table) -> bool:
    """Whether a table stands because of its columns, and bronze has no snapshot of it since."""
    stored = TableLog(spark, config.silver_path(table))
    noted = stored.metadata
    if not noted or fits(table, stored, noted.get("columns", {})):
        return False
    return not retention.is_whole_beyond(spark, config, table, Cursor.from_json(noted.get("cursor")))


def fits(table: Table, stored: TableLog, numbers: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Whether a table can take the source's rows; by the columns' names, too, where it has noted numbers."""
    try:
        list(columns.differences(table, stored.columns, numbers, stored.metadata.get("key", [])))
    except columns.ColumnError as error:
        log.info("silver.%s: %s", table.short_name, error)
        return False
    return True


def known(spark: SparkSession, config: Config, table: Table, keys: Collection[Key]) -> set[Key]:
    """Those of some rows that have versions."""
    rows, same = _rows(spark, config, table, keys)
    versions = spark.read.format("delta").load(config.silver_path(table)).alias("target")
    found = versions.join(rows.alias("batch"), F.expr(same), "left_semi").select(*map(quoted, table.key))
    there = found.toArrow()
    return set(zip(*(values.from_arrow(there[name]) for name in table.key), strict=True))


def delete(spark: SparkSession, config: Config, table: Table, keys: Collection[Key]) -> None:
    """Deletes every version of some rows; it has to be emptied then, which brings back what bronze has."""
    rows, same = _rows(spark, config, table, keys)
    delta_io.merge(spark, config.silver_path(table), rows, same, "WHEN MATCHED THEN DELETE")


def _rows(spark: SparkSession, config: Config, table: Table, keys: Collection[Key]) -> tuple[DataFrame, str]:
    """Keys as a batch, and the condition by which versions in the target are of these rows."""
    kinds = columns.business(TableLog(spark, config.silver_path(table)).columns)
    by_column = zip(*{*keys}, strict=True) if keys else ([] for _ in table.key)
    told = {
        name: values.to_arrow(list(column), values.arrow_type(kinds[name]))
        for name, column in zip(table.key, by_column, strict=True)
    }
    same = " AND ".join(f"target.{quoted(name)} = batch.{quoted(name)}" for name in told)
    return frame(spark, pa.table(told)), same


def _with_stats(table: Table) -> list[str]:
    """The columns whose least and greatest values tell which files have a row; Delta refuses some types."""
    kinds = {name: pgtypes.spark_type(table.column(name).type) for name in table.key}
    return [*(name for name, kind in kinds.items() if kind not in ("binary", "boolean")), "version"]


def _schema(table: Table, there: Mapping[str, str] = MappingProxyType({})) -> str:
    declared = {column.name: pgtypes.spark_type(column.type) for column in table.columns}
    kinds = {**declared, **columns.business(there), **declared, **HISTORY_COLUMNS, **HIDDEN_COLUMNS}
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in kinds.items())


@dataclass
class _Progress:
    """A table, and the bronze version up to which it has everything; None: it has to recover first."""

    table: SilverTable
    version: int | None = None
    ready: bool = False
    """Whether it has recovered, and the version says only how far it is."""
    asks: bool = False
    """Whether bronze has to be asked for what it lacks."""
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True)
class _Part:
    """What came to bronze with some of its commits: good rows in order, and the version that they reach."""

    rows: pa.Table
    upto: int


class _News:
    """What has come to bronze up to a version; looked for once for all tables."""

    def __init__(self, spark: SparkSession, bronze: TableLog, path: str, tables: list[SilverTable]) -> None:
        self.upto = bronze.version
        self._spark = spark
        self._bronze = bronze
        self._path = path
        self._tables = tables
        self._commits: tuple[int, list[list[dict[str, Any]]] | None] | None = None
        self._parts: dict[int, _Part] = {}
        self._ends: set[int] = set()
        self._pieces: dict[str, tuple[Cursor, list[Row]]] = {}
        self._lock = threading.Lock()

    def bronze(self) -> DataFrame:
        """All of it; to open the table costs more than a batch."""
        return delta_io.read(self._spark, self._path, self.upto)

    def since(self, version: int, whole: bool) -> _Part | None:
        """What came after a version, as much as is applied at once.

        Args:
            version: The version.
            whole: Only all of it is of use.

        Returns:
            The part; None: bronze's commits do not tell it, or not at once, see `backlog`.
        """
        with self._lock:
            part = self._parts.get(version)
            if part is None:
                chosen = self._choose(version)
                if chosen is None or (whole and chosen[1] != self.upto):
                    return None
                # Two tables at a time are rarely further apart than this.
                for known in sorted(self._parts)[: 1 - _PARALLEL_TABLES]:
                    del self._parts[known]
                part = self._read(*chosen)
                if part is None:
                    return None
                self._parts[version] = part
                self._ends.add(part.upto)
            return None if whole and part.upto != self.upto else part

    def _choose(self, version: int) -> tuple[list[dict[str, Any]], int] | None:
        """The files of the next commits, and the version that they reach; None: ask bronze."""
        if version > self.upto:  # bronze was set back
            return None
        commits = self._commits_after(version)
        if commits is None:
            return None
        if any(
            action["remove"]["dataChange"] for actions in commits for action in actions if "remove" in action
        ):
            return None  # rows were changed, see requests: what came first is not what counts
        files: list[dict[str, Any]] = []
        rows = size = 0
        upto = version
        for actions in commits:
            adds = [action["add"] for action in actions if "add" in action and action["add"]["dataChange"]]
            rows += sum(json.loads(add["stats"])["numRecords"] for add in adds)
            size += sum(add["size"] for add in adds)
            # A batch of bronze may have a few more than it is told to have.
            if rows > (CHUNK if files else 2 * CHUNK) or size > _CHUNK_BYTES // 4:  # of files: compressed
                break
            files += adds
            upto += 1
            if upto in self._ends:
                break  # where others are that began elsewhere
        return None if upto == version < self.upto else (files, upto)

    def _read(self, files: list[dict[str, Any]], upto: int) -> _Part | None:
        try:
            read = [_zoned(self._bronze.read(self._bronze.data_file(add), _READ)) for add in files]
        except FileNotFoundError as error:
            log.info("bronze is asked for what came up to version %d: %s", upto, error)
            return None  # the file was joined with others, and deleted since
        return _Part(good(pa.concat_tables(read)) if read else pa.table({name: [] for name in _READ}), upto)

    def _commits_after(self, version: int) -> list[list[dict[str, Any]]] | None:
        if self._commits is None or self._commits[1] is None or version < self._commits[0]:
            self._commits = version, self._bronze.few_commits(version, self.upto)
        first, commits = self._commits
        return None if commits is None else commits[version - first :]

    def backlog(self, table: SilverTable) -> Iterator[pa.Table]:
        """What there is beyond a table's cursor, in batches that memory can take."""
        name, bronze = table.table.name, self.bronze()
        beyond = _beyond({name: table.cursor}, bronze)
        with self._lock:
            # To look for all takes as long as for one; who comes another time has another cursor.
            if self._pieces.get(name, (None,))[0] != table.cursor:
                wanted = [table] if name in self._pieces else self._tables
                cursors = {one.table.name: one.cursor for one in wanted}
                found: dict[str, list[Row]] = {one: [] for one in cursors}
                for piece in _pieces(_beyond(cursors, bronze), "source_table"):
                    found[piece.source_table].append(piece)
                self._pieces |= {one: (cursor, found[one]) for one, cursor in cursors.items()}
            pieces = self._pieces[name][1]
        if {*table.cursor.offsets, *(piece.partition for piece in pieces)} - {0}:
            table.foresee(beyond)
        return map(good, _read(beyond.select(*_READ), pieces))


class Silver:
    """The silver layer: every table by itself, so that one that fails stops no other."""

    name = "silver"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._bronze = TableLog(spark, config.bronze_path)
        self._tables = [_Progress(SilverTable(spark, config, table)) for table in config.tables]
        for table in config.tables:
            status.expects(table.short_name)
        self._threads = ThreadPoolExecutor(_PARALLEL_TABLES, self.name)

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs until told to stop, or with `available_now` until silver has what bronze has now."""
        self._status.running(self.name)
        if not available_now:
            pace.follow(self._status, self.name, self._config.triggers.silver, self.step, stop)
            return
        as_of = self._status.source_as_of(self.name)
        if self.step(stop):
            self._status.complete(self.name, as_of)
        failed = [progress.table.table.name for progress in self._tables if progress.version is None]
        if failed and not stop.is_set():
            raise SilverError(f"these tables failed, see the log: {', '.join(failed)}")

    def step(self, stop: threading.Event) -> bool:
        """Applies what bronze has; true when every table has it all."""
        due = [progress for progress in self._tables if progress.ready or progress.backoff.due]
        # All are looked at before one of them has a long way to go.
        new = [progress for progress in due if not progress.ready]
        list(self._threads.map(lambda progress: self._attempt(progress, self._recover), new))
        ready = [progress for progress in due if progress.ready]
        news = _News(self._spark, self._bronze, self._config.bronze_path, [one.table for one in ready])
        behind = ready
        while behind and not stop.is_set():
            # All take the same part before the next one, so that it is read once.
            list(self._threads.map(lambda one: self._attempt(one, lambda it: self._apply(it, news)), behind))
            behind = [one for one in behind if one.ready and not one.asks and one.version != news.upto]
        asking = [one for one in ready if one.ready and one.asks and not stop.is_set()]
        list(
            self._threads.map(
                lambda one: self._attempt(one, lambda it: self._catch_up(it, news, stop)), asking
            )
        )
        return all(progress.version == news.upto for progress in self._tables)

    def _attempt(self, progress: _Progress, work: Callable[[_Progress], None]) -> None:
        use(self._spark, self.name)
        try:
            work(progress)
        except Exception as error:
            progress.ready, progress.version = False, None
            wait = progress.backoff.failed()
            name = progress.table.table.short_name
            log.exception("silver.%s failed; next try in %.0f s", name, wait)
            self._status.table(name, **failure(error))

    def _recover(self, progress: _Progress) -> None:
        progress.table.recover(self._bronze.id)
        progress.ready, progress.version = True, None
        self._status.found(progress.table.table.short_name)

    def _apply(self, progress: _Progress, news: _News) -> None:
        """Applies to a table the next part of what bronze has."""
        table = progress.table
        since = table.bronze_version
        # What ends rows of the whole table has to be known before, where partitions come in any order.
        part = news.since(since, whole=since < 0 or table.is_spread)
        progress.asks = part is None
        if part is None:
            return
        try:
            self._take(progress, _of_table(part.rows, table.table.name), news, part.upto)
        except OutOfOrder:
            self._make_anew(progress)
            return
        self._has_all(progress, part.upto)

    def _catch_up(self, progress: _Progress, news: _News, stop: threading.Event) -> None:
        """Applies to a table all that bronze has and its commits do not tell."""
        try:
            whole = self._take_backlog(progress, news, stop)
        except OutOfOrder:
            self._make_anew(progress)
            whole = self._take_backlog(progress, news, stop)
        progress.ready = whole
        if whole:
            self._has_all(progress, news.upto)

    def _make_anew(self, progress: _Progress) -> None:
        name = progress.table.table.short_name
        log.warning("silver.%s is made anew: a truncate or snapshot came after what follows it", name)
        empty(self._spark, self._config, progress.table.table)
        self._recover(progress)
        progress.asks = True

    def _take_backlog(self, progress: _Progress, news: _News, stop: threading.Event) -> bool:
        """False: told to stop before the end."""
        since = progress.table.bronze_version
        for rows in news.backlog(progress.table):
            if stop.is_set():
                return False
            self._take(progress, rows, news, since)
        return True

    def _take(self, progress: _Progress, rows: pa.Table, news: _News, bronze_version: int) -> None:
        table = progress.table
        if not rows.num_rows:
            return
        began = time.monotonic()
        try:
            events = table.apply(rows, news.bronze, bronze_version)
        finally:
            self._status.changed(self.name)
        committed = [event.mark.at // 1000 for event in events if event.mark.op != "r"]
        self._status.batch(self.name, time.monotonic() - began, len(events), [latency.sample(committed)])
        self._status.files(f"silver.{table.table.short_name}", table.upkeep.after_batch())

    def _has_all(self, progress: _Progress, version: int) -> None:
        """Takes note that a table has everything up to a version of bronze."""
        table = progress.table
        table.has_all_of(version)
        progress.version, progress.asks = version, False
        progress.backoff.succeeded()
        self._status.table(
            table.table.short_name,
            state="running",
            error=None,
            bronze_version=version,
            epoch=table.cursor.epoch,
            offsets=dict(table.cursor.offsets),
        )


class SilverError(Exception):
    """Tables failed in a run that ends when bronze's present content is applied."""


_READ = ["source_table", "error", *COLUMNS]


def _beyond(cursors: Mapping[str, Cursor], bronze: DataFrame) -> DataFrame:
    """The rows of tables that come after their cursors."""
    mine = ((F.col("source_table") == name) & cursor.beyond() for name, cursor in cursors.items())
    return bronze.where(reduce(or_, mine))


def portions(rows: DataFrame) -> Iterator[pa.Table]:
    """Rows that bronze has of one table, in order, in batches that memory can take."""
    return _read(rows, _pieces(rows))


def _pieces(rows: DataFrame, *groups: str) -> list[Row]:
    piece = F.floor(F.col("offset") / _PIECE).alias("piece")
    return (
        rows.groupBy(*groups, "epoch", "partition", piece)
        .agg(F.count("*").alias("rows"), F.sum(F.octet_length("value")).alias("bytes"))
        .orderBy("epoch", "piece", "partition")
        .collect()
    )


def _read(rows: DataFrame, pieces: Iterable[Row]) -> Iterator[pa.Table]:
    for epoch, of_epoch in groupby(pieces, attrgetter("epoch")):
        for batch in _batches(of_epoch):
            ends = {piece.partition: (piece.piece + 1) * _PIECE - 1 for piece in batch}
            starts = {piece.partition: piece.piece * _PIECE for piece in reversed(batch)}
            within = (
                (F.col("partition") == partition) & F.col("offset").between(starts[partition], end)
                for partition, end in ends.items()
            )
            yield rows.where((F.col("epoch") == epoch) & reduce(or_, within)).toArrow()


def _batches(pieces: Iterable[Row]) -> Iterator[list[Row]]:
    """Pieces, as many at a time as CHUNK and _CHUNK_BYTES allow, one at least."""
    batch: list[Row] = []
    rows = size = 0
    for piece in pieces:
        if batch and (rows + piece.rows > CHUNK or size + (piece.bytes or 0) > _CHUNK_BYTES):
            yield batch
            batch, rows, size = [], 0, 0
        batch.append(piece)
        rows, size = rows + piece.rows, size + (piece.bytes or 0)
    if batch:
        yield batch


def _zoned(rows: pa.Table) -> pa.Table:
    """Rows with their times in UTC, which Spark's own files do not tell."""
    place, times = rows.schema.get_field_index("source_ts"), rows["source_ts"]
    return rows.set_column(place, "source_ts", times.cast(pa.timestamp("us", tz="UTC")))


def _of_table(rows: pa.Table, name: str) -> pa.Table:
    return rows.filter(pc.equal(rows["source_table"], name)) if rows.num_rows else rows
