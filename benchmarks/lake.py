"""A lakehouse in a folder, with a shop's history in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pyarrow as pa
from lakehouse import bronze, config, delta_io, models, pipeline
from lakehouse.bronze import MAX_RECORDS
from lakehouse.delta_log import TableLog
from lakehouse.gold import Gold
from lakehouse.layout import CURRENT
from lakehouse.silver import Silver
from lakehouse.status import Status
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from benchmarks.shop import TABLES, TOPIC_PREFIX, Change, Shop, bronze_rows
from tools import local_spark

_ROOT = Path(__file__).resolve().parents[1]
_RECIPE = [Path(__file__), Path(__file__).with_name("shop.py")]
_SMALL_FILES = {
    "spark.sql.files.maxRecordsPerFile": 25_000,
    "spark.databricks.delta.optimize.minFileSize": 256 * 1024,
}
"""So that millions of rows take more than a hundred files, as forty times as many would."""


class Lake:
    """Silver and gold on top of a shop's bronze."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Open the lakehouse in a folder, or begin one."""
        for name, size in _SMALL_FILES.items():
            spark.conf.set(name, str(size))
        self.folder = folder
        self._spark = spark
        self.config = config.Config(
            storage=f"file://{folder}/lake",
            kafka=config.Kafka("none:9092", TOPIC_PREFIX),
            source=config.Source("7", 1),
            tables=TABLES,
            triggers=config.Triggers(),
            gold_models=_ROOT / "files" / "gold",
            status_file=folder / "status.json",
            state=folder / "state",
        )
        shop = folder / "shop.json"
        self.shop = Shop(**json.loads(shop.read_text(encoding="utf-8"))) if shop.exists() else Shop()
        self.status = Status(("silver", "gold"))
        pipeline.create_tables(spark, self.config)
        self._bronze = TableLog(spark, self.config.bronze_path)
        self._silver = Silver(spark, self.config, self.status)
        self._gold = Gold(spark, self.config, self.status)

    def tell(self, changes: Iterable[Change]) -> None:
        """Appends changes to bronze."""
        self.tell_rows(bronze_rows(self.shop.records(changes)))

    def tell_rows(self, rows: pa.Table) -> None:
        """Appends rows to bronze, as many at once as the pipeline does."""
        for begin in range(0, rows.num_rows, MAX_RECORDS):
            batch = rows.slice(begin, MAX_RECORDS)
            self._bronze.append(batch, bronze.STATS, {"writer": "benchmark"}, self._bronze.version)

    def silver(self) -> None:
        """Brings silver up to bronze."""
        self._done(self._silver.step(threading.Event()))
        delta_io.finish_upkeep()

    def gold(self) -> None:
        """Brings gold up to silver."""
        self._done(self._gold.step(threading.Event()))
        delta_io.finish_upkeep()

    def files(self, table: str) -> int:
        """How many files a table of silver has."""
        log = TableLog(self._spark, self.config.silver_path(self.config.table(table)))
        return sum(len(log.files({"_head": head})) for head in ("true", "false"))

    def check(self) -> None:
        """Sees whether silver has a version for each change of orders, and gold is what silver gives.

        Raises:
            WrongResultError: It is not so.
        """
        current: dict[str, DataFrame] = {}
        for table in TABLES:
            rows = self._spark.read.format("delta").load(self.config.silver_path(table))
            current[table.short_name] = rows.where(CURRENT).select(*table.column_names)
            if rows.count() != self.shop.offsets[table.short_name]:
                raise WrongResultError(f"silver.{table.short_name} lacks versions, or has too many")
        for model in models.load_all(self.config.gold_models):
            stored = self._spark.read.format("delta").load(self.config.gold_path(model.name))
            computed = models.result(self._spark, model, current).select(*stored.columns)
            if _digest(stored) != _digest(computed):
                raise WrongResultError(f"gold.{model.name} is not what silver gives")

    def _done(self, complete: bool) -> None:
        if not complete:
            raise RuntimeError(f"a step failed: {json.dumps(self.status.as_json())}")

    def build(self, rows: int) -> None:
        """Makes a history of so many rows in orders, batch by batch as the pipeline does."""
        changes, began = self.shop.history(rows), time.monotonic()
        while batch := list(islice(changes, MAX_RECORDS)):
            self.tell(batch)
            self.silver()
            took = time.monotonic() - began
            print(f"\r  {self.shop.changes:,} changes in silver, {took:.0f} s", end="", flush=True)
        self.gold()
        print(f"; gold, {time.monotonic() - began:.0f} s", flush=True)
        (self.folder / "shop.json").write_text(json.dumps(asdict(self.shop)), encoding="utf-8")


class WrongResultError(Exception):
    """The tables do not hold what the changes make; what it took to get there means nothing."""


def _digest(rows: DataFrame) -> Row | None:
    """The same for the same rows in any order."""
    return rows.agg(F.count("*"), F.sum(F.xxhash64("*").cast("decimal(20,0)"))).first()


@contextmanager
def with_history(spark: SparkSession, rows: int) -> Iterator[Lake]:
    """A lakehouse with a history of so many rows in orders, to use up.

    What was built stays in the cache and is copied for each use; it is built again when this file or the
    shop's was changed. After a change of what the jobs store, delete `bench` in the cache.
    """
    kept = local_spark.cache() / "bench" / f"{_recipe()}-{rows}"
    if not kept.exists():
        with scratch() as folder:
            print(f"building a history of {rows:,} rows, once", flush=True)
            Lake(spark, folder).build(rows)
            folder.rename(kept)
    with scratch() as folder:
        shutil.copytree(kept, folder, dirs_exist_ok=True, copy_function=_copy)
        yield Lake(spark, folder)


def _recipe() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in _RECIPE)).hexdigest()[:12]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in the cache that is gone afterwards."""
    parent = local_spark.cache() / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="using-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """Data files never change, so they need no second place on disk; all others do."""
    if source.endswith(".parquet") and "_delta_log" not in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
