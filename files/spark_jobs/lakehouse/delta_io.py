"""What the layers share to read and write Delta tables, by path: no catalog is needed to run the jobs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from lakehouse import literals
from lakehouse.jvm import java_class, nothing, use

log = logging.getLogger(__name__)

ARRIVED = ("insert", "update_postimage")
"""The `_change_type` of rows in the change data feed that are as they came; the others are as they went."""


def create_if_missing(
    spark: SparkSession, path: str, schema: str, properties: Mapping[str, str], partitioned_by: str = ""
) -> None:
    """Creates an empty Delta table, unless there is one."""
    if latest_version(spark, path) >= 0:
        return
    settings = ", ".join(f"'{name}' = {literals.text(value)}" for name, value in properties.items())
    partitions = f"PARTITIONED BY ({partitioned_by})" if partitioned_by else ""
    table = f"CREATE TABLE delta.`{path}` ({schema}) USING delta"
    spark.sql(f"{table} {partitions} TBLPROPERTIES ({settings})")


def change_schema(spark: SparkSession, path: str, schema: str, partitioned_by: str) -> None:
    """Empties a table and gives it other columns; its properties stay."""
    nothing = spark.createDataFrame([], schema).write.format("delta").mode("overwrite")
    nothing.option("overwriteSchema", "true").partitionBy(partitioned_by).save(path)


def latest_version(spark: SparkSession, path: str) -> int:
    """The table's newest version, -1 when there is no table; costs one listing of its log."""
    none = nothing(spark)
    return int(_log(spark, path).update(False, none, none).version())


def earliest_version(spark: SparkSession, path: str) -> int:
    """The oldest version that the table's log still has."""
    history = java_class(spark, "org.apache.spark.sql.delta.DeltaHistoryManager")
    return int(history.getEarliestDeltaFile(_log(spark, path)))


_BESIDE = ThreadPoolExecutor(1, "upkeep")


def finish_upkeep() -> None:
    """Waits for the upkeep that goes on beside the batches."""
    _BESIDE.submit(lambda: None).result()


class Upkeep:
    """Keeps few files and a short log in a table of one writer, whose batches leave more of both with time.

    Every scan pays for each file, and everything that asks for the newest version lists the whole log: an
    object store gives the names of a folder, not those after one. Delta's own does not serve. Its automatic
    compaction counts files since the driver's start and, where older ones join in, rewrites them at every
    commit. Its checkpoints are part of a commit, fifty times as long as the others; its log cleanup goes with
    them, deletes by whole days, and minds nobody who knows the table from what it deletes (as of Delta 4.4).
    """

    FILES = 30
    """The files that have come when it is time to join them."""

    VERSIONS = 30
    """The versions that have come when it is time for a checkpoint of the log, and to delete old ones."""

    def __init__(self, spark: SparkSession, path: str, *, append_only: bool = False) -> None:
        """Takes a table.

        Args:
            spark: The session.
            path: Where the table is.
            append_only: Batches only add rows, so that files can be joined beside them.
        """
        self._spark = spark
        self._path = path
        self._append_only = append_only
        self._left = 0
        self._cleaned = -1
        self._under_way: Future[None] | None = None

    def after_batch(self) -> int | None:
        """Does what it is time for, beside the next batches where it is in the way of none.

        Returns:
            The number of the table's files; None: there is no telling.

        Raises:
            Exception: What went wrong, also beside the batches since; that is told once, and tried again.
        """
        if self._under_way is not None and self._under_way.done():
            ended, self._under_way = self._under_way, None
            ended.result()
            if self._log_is_long():  # as far as is known without a look
                latest_version(self._spark, self._path)
        files = self._files()
        if self._is_full(files) and not self._append_only:
            self._join()
            files = self._files()
        if self._under_way is None and (due := self._due(files)):
            self._under_way = _BESIDE.submit(self._beside, due)
        return files

    def _due(self, files: int | None) -> Callable[[], None] | None:
        """What there is to do beside the batches."""
        if self._is_full(files):
            return self._join
        if self._log_is_long():
            return self._write_checkpoint
        # Who commits without a look at the log knows it from the checkpoint on that he saw last. Here he has
        # no commit under way, with which he would fall back to the one before.
        return self._delete_before if self._checkpoint() > self._cleaned else None

    def _beside(self, work: Callable[[], None]) -> None:
        use(self._spark, "upkeep")
        try:
            work()
        except Exception:
            log.exception("%s: its upkeep failed", self._path)
            raise

    def _is_full(self, files: int | None) -> bool:
        return files is not None and files >= self._left + self.FILES

    def _files(self) -> int | None:
        """How many files there are, from the checksum of the version last read; None: it has none."""
        checksum = self._log.unsafeVolatileSnapshot().checksumOpt()
        return int(checksum.get().numFiles()) if checksum.isDefined() else None

    def _join(self) -> None:
        self._spark.sql(f"OPTIMIZE delta.`{self._path}`")
        self._left = self._files() or 0

    def _log_is_long(self) -> bool:
        return int(self._log.unsafeVolatileSnapshot().version()) - self._checkpoint() >= self.VERSIONS

    def _checkpoint(self) -> int:
        """The version of the checkpoint that the log is known from; -1: from its beginning."""
        return int(self._log.unsafeVolatileSnapshot().checkpointProvider().version())

    def _write_checkpoint(self) -> None:
        self._log.checkpoint(self._log.unsafeVolatileSnapshot(), nothing(self._spark))

    def _delete_before(self) -> None:
        """Deletes what is old and before the last checkpoint."""
        checkpoint, as_the_table_says = self._checkpoint(), nothing(self._spark)
        granularity = java_class(self._spark, "org.apache.spark.sql.delta.TruncationGranularity")
        snapshot, to_the_minute = self._log.unsafeVolatileSnapshot(), granularity.MINUTE()
        self._log.cleanUpExpiredLogs(snapshot, as_the_table_says, as_the_table_says, to_the_minute)
        self._cleaned = checkpoint

    @property
    def _log(self) -> Any:
        return _log(self._spark, self._path)


def columns(spark: SparkSession, path: str, version: int) -> dict[str, str]:
    """The Spark SQL types of a table's columns as of a version."""
    none = nothing(spark)
    snapshot = _log(spark, path).getSnapshotAt(version, none, none, False)
    schema = json.loads(snapshot.metadata().schemaString())
    return {field.name: field.dataType.simpleString() for field in StructType.fromJson(schema)}


def _log(spark: SparkSession, path: str) -> Any:
    return java_class(spark, "org.apache.spark.sql.delta.DeltaLog").forTable(spark._jsparkSession, path)


def read(spark: SparkSession, path: str, version: int) -> DataFrame:
    """The table as of a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(path)


def partition(spark: SparkSession, path: str, version: int, values: Mapping[str, str]) -> DataFrame:
    """The rows of a partition as of a version.

    Its files are listed once, here: a version's checksum has them while they are few. Of `read`, each scan in
    each query asks for them anew, by a Spark job that costs more than the scan of a small table; in return it
    leaves out files by their statistics.
    """
    none = nothing(spark)
    log = _log(spark, path)
    snapshot = log.getSnapshotAt(version, none, none, False)
    collections = java_class(spark, "scala.jdk.javaapi.CollectionConverters")
    checksum = snapshot.checksumOpt()
    known = checksum.get().allFiles() if checksum.isDefined() else none
    files = collections.asJava(known.get()) if known.isDefined() else snapshot.allFiles().collectAsList()
    chosen = java_class(spark, "java.util.ArrayList")()
    for file in files:
        if all(file.partitionValues().apply(name) == value for name, value in values.items()):
            chosen.add(file)
    return DataFrame(log.createDataFrame(snapshot, collections.asScala(chosen).toSeq(), False, none), spark)


def changes(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame:
    """The change data feed of the versions after `after`, up to `upto`."""
    reader = spark.read.format("delta").option("readChangeFeed", "true")
    return reader.option("startingVersion", after + 1).option("endingVersion", upto).load(path)


def merge(spark: SparkSession, path: str, batch: DataFrame, on: str, clauses: str) -> None:
    """Merges `batch` into the table, which the SQL calls `target`."""
    # Braces, which a key may hold, mean something to spark.sql().
    on, clauses = (text.replace("{", "{{").replace("}", "}}") for text in (on, clauses))
    spark.sql(f"MERGE INTO delta.`{path}` AS target USING {{batch}} AS batch ON {on} {clauses}", batch=batch)
