"""Silver to gold: recomputes of each model the rows whose keys silver's changes touch.

How far a model has come, the silver versions it was computed from, stands in its own commits. A model
whose commits do not tell is computed in full.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse import delta_io, latency, models
from lakehouse.config import Config
from lakehouse.models import Model
from lakehouse.retry import Backoff
from lakehouse.status import Status, failure

log = logging.getLogger(__name__)

Versions = Mapping[str, int]


@dataclass(frozen=True)
class Images:
    """Rows of a silver table that changed between two versions, as they were and as they are."""

    kept: DataFrame
    rows: DataFrame
    count: int
    commit_times: Row


class Silver:
    """The silver tables as of fixed versions, as gold reads them."""

    def __init__(self, spark: SparkSession, config: Config, versions: Versions) -> None:
        self._spark = spark
        self._config = config
        self.versions = versions
        self._current: dict[str, DataFrame] = {}
        self._images: dict[tuple[str, int], Images] = {}

    def current(self, name: str) -> DataFrame:
        """The current rows of a table, with the source's columns; one read of its log serves all models."""
        if name not in self._current:
            table = self._config.table(name)
            rows = delta_io.read(self._spark, self._config.silver_path(table), self.versions[name])
            self._current[name] = rows.where("_head AND is_current").select(*table.column_names)
        return self._current[name]

    def images(self, name: str, after: int) -> Images:
        """The table's changes since a version; read once."""
        if (name, after) not in self._images:
            table = self._config.table(name)
            changes = delta_io.changes(
                self._spark, self._config.silver_path(table), after, self.versions[name]
            )
            kept = changes.where("is_current").persist()
            arrived = F.col("_change_type").isin("insert", "update_postimage") & (F.col("_applied.op") != "r")
            commit_times = latency.commit_times(F.col("_applied.source_ts"), arrived)
            count, times = kept.agg(F.count("*"), commit_times).collect()[0]
            self._images[name, after] = Images(kept, kept.select(*table.column_names), count, times)
        return self._images[name, after]

    @property
    def read_changes(self) -> list[Images]:
        """The changes that were read."""
        return list(self._images.values())

    def release(self) -> None:
        """Frees what was kept in memory."""
        for images in self._images.values():
            images.kept.unpersist()


class GoldModel:
    """A gold table, and the silver versions it was computed from."""

    def __init__(self, spark: SparkSession, config: Config, model: Model) -> None:
        self.model = model
        self.path = config.gold_path(model.name)
        self.upkeep = delta_io.Upkeep(spark, self.path)
        self._spark = spark
        self._config = config
        self.versions: Versions | None = None

    def recover(self) -> None:
        """Takes from the table's commits what it was computed from, if silver still has the changes since."""
        metadata = delta_io.last_metadata(self._spark, self.path)
        stored = (metadata or {}).get("silver", {})
        usable = set(stored) == set(self.model.sources) and all(
            delta_io.earliest_version(self._spark, self._silver_path(name)) <= version + 1
            for name, version in stored.items()
        )
        self.versions = stored if usable else None

    def refresh(self, silver: Silver) -> None:
        """Brings the table to the silver versions."""
        before, versions = self.versions, {name: silver.versions[name] for name in self.model.sources}
        if versions == before:
            return
        current = {name: silver.current(name) for name in self.model.sources}
        if before is None or any(before[name] > version for name, version in versions.items()):
            self._replace(models.result(self._spark, self.model, current), versions)
        else:
            changed = [name for name, version in versions.items() if version > before[name]]
            images = {name: silver.images(name, before[name]) for name in changed}
            images = {name: image for name, image in images.items() if image.count}
            if images:
                self._merge({name: image.rows for name, image in images.items()}, current, versions)
        self.versions = versions

    def _silver_path(self, name: str) -> str:
        return self._config.silver_path(self._config.table(name))

    def _replace(self, rows: DataFrame, versions: Versions) -> None:
        writer = rows.coalesce(1).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.option("userMetadata", _metadata(versions)).save(self.path)

    def _merge(
        self, images: Mapping[str, DataFrame], current: Mapping[str, DataFrame], versions: Versions
    ) -> None:
        keys = models.affected_keys(self._spark, self.model, images, current).persist()
        try:
            rows = models.restricted(models.result(self._spark, self.model, current), keys)
            there = F.lit(True).alias("_there")
            batch = keys.join(rows.select("*", there), list(self.model.keys), "left")
            batch = batch.coalesce(1).localCheckpoint()  # computed once, and out of the merge's own planning
            same_key = " AND ".join(f"target.`{name}` = batch.`{name}`" for name in self.model.keys)
            same_row = " AND ".join(f"target.`{name}` <=> batch.`{name}`" for name in rows.columns)
            names = ", ".join(f"`{name}`" for name in rows.columns)
            values = ", ".join(f"batch.`{name}`" for name in rows.columns)
            assignments = ", ".join(f"`{name}` = batch.`{name}`" for name in rows.columns)
            clauses = [
                "WHEN MATCHED AND batch._there IS NULL THEN DELETE",
                f"WHEN MATCHED AND NOT ({same_row}) THEN UPDATE SET {assignments}",
                f"WHEN NOT MATCHED AND batch._there THEN INSERT ({names}) VALUES ({values})",  # noqa: S608
            ]
            self._spark.conf.set(delta_io.USER_METADATA, _metadata(versions))
            delta_io.merge(self._spark, self.path, batch, same_key, " ".join(clauses))
        finally:
            self._spark.conf.unset(delta_io.USER_METADATA)  # no note of this model on another commit
            keys.unpersist()


@dataclass
class _Progress:
    table: GoldModel
    known: bool = False
    backoff: Backoff = field(default_factory=Backoff)


class Gold:
    """The gold layer: every model by itself, so that one that fails stops no other."""

    name = "gold"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark.newSession()  # the metadata of its commits is a setting of the session
        self._config = config
        self._status = status
        self._models = [
            _Progress(GoldModel(self._spark, config, model)) for model in models.load_all(config.gold_models)
        ]

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs until told to stop, or with `available_now` until gold has what silver has now."""
        self._status.running(self.name)
        while not stop.is_set():
            began, as_of = time.monotonic(), self._status.source_as_of(self.name)
            complete = self.step(stop)
            if complete:
                self._status.complete(self.name, as_of)
            if available_now:
                failed = [progress.table.model.name for progress in self._models if not progress.known]
                if failed and not stop.is_set():
                    raise GoldError(f"these models failed, see the log: {', '.join(failed)}")
                return
            stop.wait(max(0.0, self._config.triggers.gold - (time.monotonic() - began)))

    def step(self, stop: threading.Event) -> bool:
        """Brings every model up to silver; true when all are."""
        names = {name for progress in self._models for name in progress.table.model.sources}
        versions = {
            name: delta_io.latest_version(self._spark, self._config.silver_path(self._config.table(name)))
            for name in names
        }
        silver = Silver(self._spark, self._config, versions)
        began = time.monotonic()
        try:
            done = [not stop.is_set() and self._attempt(progress, silver) for progress in self._models]
            changes = [images.commit_times for images in silver.read_changes if images.count]
        finally:
            silver.release()
        if changes:
            rows = sum(times.rows for times in changes)
            self._status.batch(self.name, time.monotonic() - began, rows, changes)
        return all(done)

    def _attempt(self, progress: _Progress, silver: Silver) -> bool:
        table = progress.table
        if not progress.backoff.due:
            return False
        try:
            if not progress.known:
                table.recover()
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
    path = config.gold_path(model.name)
    if delta_io.latest_version(spark, path) < 0:
        return
    spark.conf.set(delta_io.USER_METADATA, json.dumps({}))
    try:
        spark.sql(
            f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('lakehouse.forgotten' = '{time.time():.0f}')"
        )
    finally:
        spark.conf.unset(delta_io.USER_METADATA)


class GoldError(Exception):
    """Models failed in a run that ends when silver's present content is in gold."""


def _metadata(versions: Versions) -> str:
    return json.dumps({"silver": dict(versions)}, sort_keys=True)
