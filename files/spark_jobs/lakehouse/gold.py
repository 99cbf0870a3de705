"""Silver to gold: brings of each model the rows up to date whose keys silver's changes touch.

They follow from the model's partial aggregates and what changed, where its query can be split so
(`incremental`), and are computed anew from silver where not, or where much changed.

How far a model has come, the silver versions it was computed from, stands in its own commits. A model
whose commits do not tell is computed in full.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap64
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse import delta_io, latency, layout, models, pace, pgtypes, values
from lakehouse.config import Config, Table
from lakehouse.delta_log import Conflict, DataFile, TableLog
from lakehouse.incremental import Changed, Incremental, Types, forget_others, state_file
from lakehouse.jvm import frame, use
from lakehouse.latency import Sample
from lakehouse.local_store import remove
from lakehouse.models import Model
from lakehouse.quality_counts import QualityCounts
from lakehouse.repeatable import refuse_unrepeatable
from lakehouse.retry import Backoff
from lakehouse.status import Status, failure

log = logging.getLogger(__name__)

Versions = Mapping[str, int]

_PARALLEL_MODELS = 2
"""While one is planned in the driver, another one is computed."""

_MOST_FOLDED = 200_000
"""Images of rows; of more, Spark computes the models' rows anew."""

_PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.feature.domainMetadata": "supported"}


class Images:
    """Rows of a silver table that changed between two versions, as they were and as they are.

    Attributes:
        count: How many.
        commit_times: When they were committed at the source.
    """

    def __init__(
        self,
        spark: SparkSession,
        images: DataFrame | pa.Table,
        count: int,
        commit_times: Row | Sample,
        persisted: DataFrame | None = None,
    ) -> None:
        """Take rows with the source's columns and `_change_type`: few in the driver, or many in Spark."""
        self.count = count
        self.commit_times = commit_times
        self._spark = spark
        self._images = images
        self._persisted = persisted

    @cached_property
    def kept(self) -> DataFrame:
        """The rows, with `_change_type`."""
        few = isinstance(self._images, pa.Table)
        return frame(self._spark, self._images) if few else self._images

    @property
    def rows(self) -> DataFrame:
        """The rows with the source's columns alone."""
        return self.kept.drop("_change_type")

    @cached_property
    def changed(self) -> Changed:
        """The rows in the driver."""
        images = self._images if isinstance(self._images, pa.Table) else self._images.toArrow()
        came = pc.is_in(images["_change_type"], pa.array(delta_io.ARRIVED))
        return Changed(images.filter(pc.invert(came)), images.filter(came))

    def release(self) -> None:
        """Frees what Spark keeps in memory."""
        if self._persisted is not None:
            self._persisted.unpersist()


class Silver:
    """The silver tables as of fixed versions, as gold reads them."""

    def __init__(self, spark: SparkSession, config: Config, versions: Versions) -> None:
        self._spark = spark
        self._config = config
        self.versions = versions
        self._lock = threading.RLock()
        self._current: dict[str, DataFrame] = {}
        self._types: dict[str, Types] = {}
        self._images: dict[tuple[str, int], Images] = {}

    def current(self, name: str) -> DataFrame:
        """The current rows of a table, with the source's columns; one list of files serves all models."""
        with self._lock:
            if name not in self._current:
                table = self._config.table(name)
                path = self._config.silver_path(table)
                heads = delta_io.partition(self._spark, path, self.versions[name], layout.HEADS)
                rows = heads.where("is_current").select(*map(layout.quoted, table.column_names))
                self._current[name] = rows
            return self._current[name]

    def types(self, name: str) -> Types:
        """The columns of a table that its current rows have."""
        with self._lock:
            if name not in self._types:
                table = self._config.table(name)
                path = self._config.silver_path(table)
                there = delta_io.columns(self._spark, path, self.versions[name])
                self._types[name] = {column: there[column] for column in table.column_names}
            return self._types[name]

    def images(self, name: str, after: int) -> Images:
        """The table's changes since a version; read once."""
        with self._lock:
            if (name, after) not in self._images:
                table, upto = self._config.table(name), self.versions[name]
                path = self._config.silver_path(table)
                feed = TableLog(self._spark, path).change_feed(
                    after, upto, [*table.column_names, *_OF_CHANGES]
                )
                self._images[name, after] = (
                    _many_images(self._spark, delta_io.changes(self._spark, path, after, upto), table)
                    if feed is None
                    else _few_images(self._spark, feed, table)
                )
            return self._images[name, after]

    @property
    def read_changes(self) -> list[Images]:
        """The changes that were read."""
        return list(self._images.values())

    def release(self) -> None:
        """Frees what was kept in memory."""
        for images in self._images.values():
            images.release()


_OF_CHANGES = ("is_current", "_change_type", "_applied")


def _few_images(spark: SparkSession, feed: pa.Table, table: Table) -> Images:
    if not feed.num_rows:
        return Images(spark, feed, 0, latency.sample([]))
    kept = feed.filter(feed["is_current"])
    is_change = pc.not_equal(pc.struct_field(kept["_applied"], "op"), "r")
    arrived = kept.filter(pc.and_(is_change, pc.is_in(kept["_change_type"], pa.array(delta_io.ARRIVED))))
    committed = pc.divide(pc.struct_field(arrived["_applied"], "source_ts").cast(pa.int64()), 1000)
    kinds = [
        (column.name, _kind(feed.schema.field(column.name).type, pgtypes.spark_type(column.type)))
        for column in table.columns
    ]
    told = pa.schema([*kinds, ("_change_type", pa.string())])
    rows = kept.select(told.names).cast(told)
    return Images(spark, rows, kept.num_rows, latency.sample(committed.to_pylist()))


def _kind(stored: pa.DataType, declared: str) -> pa.DataType:
    """Silver may keep a wider type than the source has; of times Spark's own files do not tell the zone."""
    zoned = values.arrow_type(declared)
    return zoned if pa.types.is_timestamp(stored) and pa.types.is_timestamp(zoned) else stored


def _many_images(spark: SparkSession, feed: DataFrame, table: Table) -> Images:
    kept = feed.where("is_current").select(*map(layout.quoted, table.column_names), *_OF_CHANGES).persist()
    arrived = F.col("_change_type").isin(*delta_io.ARRIVED) & (F.col("_applied.op") != "r")
    count, times = kept.agg(
        F.count("*"), latency.commit_times(F.col("_applied.source_ts"), arrived)
    ).collect()[0]
    return Images(spark, kept.drop("is_current", "_applied"), count, times, kept)


class GoldModel:
    """A gold table, and the silver versions it was computed from."""

    def __init__(self, spark: SparkSession, config: Config, model: Model) -> None:
        self.model = model
        self.path = config.gold_path(model.name)
        self.upkeep = delta_io.Upkeep(spark, self.path)
        self.versions: Versions | None = None
        self._tables: Mapping[str, str] = {}
        self._columns: dict[str, str] = {}
        self._spark = spark
        self._config = config
        self._log = TableLog(spark, self.path)
        self._version = -1
        self._files: dict[str, DataFile] = {}
        self._keys: dict[str, pa.Table] = {}
        self._incremental: Incremental | None = None
        self._split_for: dict[str, Types] = {}
        self._committed: Versions = {}

    def recover(self, silver: Silver) -> None:
        """Takes from the table's commits what it was computed from, if silver still has the changes since."""
        noted = self._log.metadata if self._log.version >= 0 else {}
        stored: Versions = noted.get("silver", {})
        # Of a table that was made anew at its path the versions mean something else. A model that does not
        # note its tables, as models did not at first, is computed in full once: it may be of others.
        self._tables = {
            name: TableLog(self._spark, self._silver_path(name)).id for name in self.model.sources
        }
        usable = (
            noted.get("model") == self.model.digest
            and noted.get("tables") == self._tables
            and noted.get("sources") == self._types(silver)
            and set(stored) == set(self.model.sources)
            and all(
                delta_io.earliest_version(self._spark, self._silver_path(name)) <= version + 1
                for name, version in stored.items()
            )
        )
        self.versions = stored if usable else None
        self._committed = stored
        self._columns = noted.get("columns", {})
        self._version, self._files, self._keys = -1, {}, {}
        self._split(silver)
        if usable and self._incremental is not None and self._incremental.goes_on_from(stored):
            self.versions = self._incremental.versions

    def refresh(self, silver: Silver) -> None:
        """Brings the table to the silver versions."""
        before, versions = self.versions, {name: silver.versions[name] for name in self.model.sources}
        if versions == before:
            return
        images = self._images(silver, before or {}, versions)
        if self._types(silver) != self._split_for:
            self._split(silver)
            images = None  # what a row gives may follow from a column's type: its text, its hash
        if images is None:
            self._forget_partials()
            self._replace(models.result(self._spark, self.model, self._current(silver)), versions)
        elif not images:
            if self._incremental is not None and self._incremental.versions == before:
                self._incremental.note(versions, self._committed)
        elif sum(image.count for image in images.values()) > _MOST_FOLDED:
            self._forget_partials()
            self._update(images, self._current(silver), versions)
        elif not self._fold(images, silver, versions):
            self._update(images, self._current(silver), versions)
            if self._incremental is not None:
                self._incremental.build(self._current(silver), versions, self._committed)
        self.versions = versions

    def _images(self, silver: Silver, before: Versions, versions: Versions) -> dict[str, Images] | None:
        """What changed since; None: there is no telling, the model has to be computed in full."""
        if any(before.get(name, version + 1) > version for name, version in versions.items()):
            return None
        changed = [name for name, version in versions.items() if version > before[name]]
        try:
            images = {name: silver.images(name, before[name]) for name in changed}
        except Exception as error:
            # Cleaning may have taken the changes of long ago; all rows are there, and tell the same.
            log.warning(
                "gold.%s: is computed in full, the changes cannot be read: %s", self.model.name, error
            )
            return None
        return {name: image for name, image in images.items() if image.count}

    def _split(self, silver: Silver) -> None:
        """Opens the model's partial aggregates, if it can be kept up to date by such."""
        if self._incremental is not None:
            self._incremental.close()
        self._split_for = self._types(silver)
        identity = {"tables": self._tables, "model": self.model.digest}
        self._incremental = Incremental.of(self._spark, self._config, self.model, self._split_for, identity)
        if self._incremental is None:
            log.info("gold.%s: is computed anew for the keys that change", self.model.name)

    def _types(self, silver: Silver) -> dict[str, Types]:
        """The columns of the model's tables."""
        return {name: silver.types(name) for name in self.model.sources}

    def _forget_partials(self) -> None:
        if self._incremental is not None:
            self._incremental.forget()

    def _current(self, silver: Silver) -> dict[str, DataFrame]:
        return {name: silver.current(name) for name in self.model.sources}

    def _fold(self, images: Mapping[str, Images], silver: Silver, versions: Versions) -> bool:
        """Folds changes into the partial aggregates; false: there are none that they could be folded into."""
        found = self._incremental
        if found is None or dict(found.columns) != self._columns:
            return False
        changed = {name: image.changed for name, image in images.items()}
        folded = False
        try:
            if found.versions != self.versions:
                return False
            with found.fold(changed, versions, lambda: self._committed) as (keys, rows):
                folded = True
                self._write(keys, rows, versions)
        except Exception as error:
            if folded and not isinstance(error, sqlite3.Error):
                raise  # the store of the tables has failed, not the partial aggregates
            log.warning("gold.%s: its partial aggregates are made anew: %s", self.model.name, error)
            found.forget()
            return False
        return True

    def _silver_path(self, name: str) -> str:
        return self._config.silver_path(self._config.table(name))

    def _replace(self, rows: DataFrame, versions: Versions) -> None:
        table = rows.coalesce(1).writeTo(f"delta.`{self.path}`").using("delta")
        for name, value in _PROPERTIES.items():
            table = table.tableProperty(name, value)
        table.createOrReplace()
        self._columns = _columns(rows)
        self._log.note(self._noted(versions))
        self._committed = versions

    def _update(
        self, images: Mapping[str, Images], current: Mapping[str, DataFrame], versions: Versions
    ) -> None:
        """Computes the rows anew whose keys the changes touch."""
        everything = models.result(self._spark, self.model, current)
        if _columns(everything) != self._columns:  # silver's have changed, and with them the model's
            self._replace(everything, versions)
            return
        changed = {name: image.rows for name, image in images.items()}
        found = models.affected_keys(self._spark, self.model, changed, current, self._columns).toArrow()
        keys = frame(self._spark, found)
        self._write(found, models.restricted(everything, keys).coalesce(1).toArrow(), versions)

    def _write(self, keys: pa.Table, rows: pa.Table, versions: Versions) -> None:
        """Writes rows in place of those that have the keys."""
        adds = [self._log.write(rows, {}, self.model.keys)] if rows.num_rows else []
        try:
            self._follow(self._log.known_version)
            self._commit(adds, keys, versions)
        except Conflict as conflict:  # others have changed the table
            log.info("gold.%s: %s; trying again", self.model.name, conflict)
            self._follow(self._log.version)
            self._commit(adds, keys, versions)

    def _commit(self, adds: list[dict[str, Any]], keys: pa.Table, versions: Versions) -> None:
        deleted = self._rows_of(keys)
        if adds or deleted:
            version, marked = self._log.commit(adds, [], deleted, self._noted(versions), self._version)
            kept = {path: file for path, file in self._files.items() if path not in deleted}
            self._files = kept | marked | {str(add["path"]): DataFile(add) for add in adds}
            self._version = version if version == self._version + 1 else -1  # others came between
            self._committed = versions

    def _follow(self, version: int) -> None:
        """Asks for the table's files, unless its last commit was made here."""
        if version != self._version:
            self._version = version
            self._files = {file.path: file for file in self._log.files({})}

    def _rows_of(self, keys: pa.Table) -> dict[str, tuple[DataFile, BitMap64]]:
        """Where the table has the rows of some keys. The keys of its files are kept in memory."""
        names = list(self.model.keys)
        self._keys = {path: self._keys_in(file, keys.schema) for path, file in self._files.items()}
        places: dict[str, tuple[DataFile, BitMap64]] = {}
        for path, file in self._files.items():
            rows = self._keys[path].join(keys, names, join_type="left semi")
            if found := BitMap64(rows[layout.PLACE].to_pylist()) - file.deleted:
                places[path] = (file, found)
        return places

    def _keys_in(self, file: DataFile, kinds: pa.Schema) -> pa.Table:
        known = self._keys.get(file.path)
        if known is not None:
            return known
        rows = self._log.read(file, kinds.names)
        # Spark's own files have times without a zone.
        return rows.cast(pa.schema([*kinds, rows.schema.field(layout.PLACE)]))

    def _noted(self, versions: Versions) -> dict[str, Any]:
        return {
            "silver": dict(versions),
            "tables": self._tables,
            "model": self.model.digest,
            "sources": self._split_for,
            "columns": self._columns,
        }


def _columns(rows: DataFrame) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields}


@dataclass
class _Progress:
    table: GoldModel
    known: bool = False
    backoff: Backoff = field(default_factory=Backoff)


@dataclass
class _Counting:
    counts: QualityCounts
    backoff: Backoff = field(default_factory=Backoff)


class Gold:
    """The gold layer: every model by itself, so that one that fails stops no other."""

    name = "gold"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._tables = {table.short_name for table in config.tables}
        found = models.load_all(config.gold_models)
        forget_others(config, found)
        self._models = [_Progress(GoldModel(self._spark, config, model)) for model in found]
        self._countings = [_Counting(QualityCounts(table)) for table in config.tables if table.quality]
        self._threads = ThreadPoolExecutor(_PARALLEL_MODELS, self.name)

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs until told to stop, or with `available_now` until gold has what silver has now."""
        self._status.running(self.name)
        if not available_now:
            trigger = self._config.triggers.gold
            pace.follow(self._status, self.name, trigger, self.step, stop, self._counts_again)
            return
        as_of = self._status.source_as_of(self.name)
        if self.step(stop):
            self._status.complete(self.name, as_of)
        failed = [progress.table.model.name for progress in self._models if not progress.known]
        if failed and not stop.is_set():
            raise GoldError(f"these models failed, see the log: {', '.join(failed)}")

    def step(self, stop: threading.Event) -> bool:
        """Brings every model up to silver; true when all are."""
        names = {name for progress in self._models for name in progress.table.model.sources}
        names |= {counting.counts.table.short_name for counting in self._countings}
        versions = {
            name: delta_io.latest_version(self._spark, self._config.silver_path(self._config.table(name)))
            for name in names & self._tables  # a model that reads others fails by itself
        }
        silver = Silver(self._spark, self._config, versions)
        began = time.monotonic()
        try:
            done = list(
                self._threads.map(
                    lambda model: not stop.is_set() and self._attempt(model, silver), self._models
                )
            )
            changes = [images.commit_times for images in silver.read_changes if images.count]
            seconds = time.monotonic() - began
            for counting in self._countings:
                if not stop.is_set():
                    self._count(counting, silver)
        finally:
            silver.release()
        if changes:
            rows = sum(times.rows for times in changes)
            self._status.batch(self.name, seconds, rows, changes)
        return all(done)

    def _counts_again(self) -> bool:
        """Whether counts that failed are to be tried again."""
        return any(one.backoff.failing and one.backoff.due for one in self._countings)

    def _count(self, counting: _Counting, silver: Silver) -> None:
        """Counts a table's rows that break its quality rules; reads the same changes as the models."""
        counts, name = counting.counts, counting.counts.table.short_name
        if not counting.backoff.due:
            return
        try:
            counts.refresh(silver)
        except Exception as error:
            counts.forget()
            wait = counting.backoff.failed()
            log.exception("the quality counts of silver.%s failed; next try in %.0f s", name, wait)
            self._status.quality(name, **failure(error))
            return
        counting.backoff.succeeded()
        self._status.quality(name, state="running", error=None, broken_rows=dict(counts.broken_rows))

    def _attempt(self, progress: _Progress, silver: Silver) -> bool:
        table = progress.table
        if not progress.backoff.due:
            return False
        use(self._spark, self.name)
        try:
            if not progress.known:
                models.refuse_unknown_sources([table.model], self._tables)
                table.recover(silver)
                current = {name: silver.current(name) for name in table.model.sources}
                refuse_unrepeatable(self._spark, table.model, current)
                progress.known = True
            table.refresh(silver)
            self._status.files(f"gold.{table.model.name}", table.upkeep.after_batch())
        except Exception as error:
            progress.known = False
            wait = progress.backoff.failed()
            log.exception("gold.%s failed; next try in %.0f s", table.model.name, wait)
            self._status.model(table.model.name, **failure(error))
            return False
        progress.backoff.succeeded()
        self._status.model(table.model.name, state="running", error=None, silver=dict(table.versions or {}))
        return True


def forget(spark: SparkSession, config: Config, model: Model) -> None:
    """Makes a model be computed in full, when gold runs the next time; until then it stays as it is."""
    remove(state_file(config, model))
    log = TableLog(spark, config.gold_path(model.name))
    if log.version >= 0:
        log.note({})


class GoldError(Exception):
    """Models failed in a run that ends when silver's present content is in gold."""
