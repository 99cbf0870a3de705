"""Others that make a history of the same events: what our figures are held against.

Each takes bronze's rows of orders and keeps a Delta table. `seen` is what it says: of each version the order,
its status, and the offsets of the events that began and ended it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa
from delta.tables import DeltaTable as SparkTable
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.shop import TABLES

Versions = Counter[tuple[int, str, int, int | None]]

_KINDS = {
    column.name: "bigint" if column.type == "bigint" else "string"  # as the events tell them
    for table in TABLES
    if table.short_name == "orders"
    for column in table.columns
}
_SPARK_ORDER = ", ".join(f"{name} {kind}" for name, kind in _KINDS.items())
_POLARS_ORDER = {name: pl.Int64 if kind == "bigint" else pl.String for name, kind in _KINDS.items()}
_TIMES = ("created_at", "updated_at")


class Peer(Protocol):
    """One of them.

    Attributes:
        name: What it is called in the results.
    """

    name: str

    def take(self, bronze: pa.Table) -> None:
        """Take rows of bronze, in their order."""

    def seen(self) -> Versions:
        """What its table says."""


class PolarsDeltaRs:
    """SCD type 2 with polars and delta-rs: no Spark, no JVM.

    It knows no truncates, no snapshots, no redeliveries and no TOAST.
    """

    name = "polars + delta-rs"

    def __init__(self, folder: Path) -> None:
        """Begin a table in a folder."""
        self._path = str(folder / "orders")
        self._empty = True

    def take(self, bronze: pa.Table) -> None:
        """A MERGE: the batch's versions are added, the open ones of its keys end where their next begins."""
        versions = _versions(bronze)
        if self._empty:
            write_deltalake(self._path, versions.drop("first"), mode="append")
            self._empty = False
            return
        added = versions.select(pl.lit(None, pl.Int64).alias("key"), pl.exclude("first"))
        ends = versions.filter("first").select(pl.col("order_id").alias("key"), pl.exclude("first"))
        columns = [name for name in added.columns if name != "key"]
        (
            DeltaTable(self._path)
            .merge(
                pl.concat([added, ends]),
                predicate="t.order_id = s.key AND t.is_current AND t.began < s.began",
                source_alias="s",
                target_alias="t",
            )
            .when_matched_update({"ended": "s.began", "valid_to": "s.valid_from", "is_current": "false"})
            .when_not_matched_insert({name: f"s.{name}" for name in columns}, predicate="s.key IS NULL")
            .execute()
        )

    def seen(self) -> Versions:
        """What its table says."""
        rows = pl.read_delta(self._path, columns=["order_id", "status", "began", "ended"])
        return Counter(rows.iter_rows())


def _versions(bronze: pa.Table) -> pl.DataFrame:
    """A version an event; `first` tells the first of its order in the batch."""
    row = pl.Struct(_POLARS_ORDER)
    event = pl.Struct({"after": row, "source": pl.Struct({"ts_us": pl.Int64}), "op": pl.String})
    told = pl.DataFrame(pl.from_arrow(bronze.select(["offset", "value"])))
    parsed = told.lazy().select(
        pl.col("value").cast(pl.String).str.json_decode(event).alias("event"), began=pl.col("offset")
    )
    after, next_ = pl.col("event").struct.field("after"), pl.col("began").shift(-1).over("order_id")
    source = pl.col("event").struct.field("source")
    return (
        parsed.select(
            *(after.struct.field(name) for name in _POLARS_ORDER),
            pl.from_epoch(source.struct.field("ts_us"), "us").dt.replace_time_zone("UTC").alias("valid_from"),
            "began",
        )
        .with_columns(
            pl.col("amount").cast(pl.Decimal(12, 2)),
            *(
                pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
                for name in _TIMES
            ),
        )
        .sort("began")
        .with_columns(
            ended=next_,
            valid_to=pl.col("valid_from").shift(-1).over("order_id"),
            is_current=next_.is_null(),
            first=pl.col("began").cum_count().over("order_id") == 1,
        )
        .collect()
    )


class LatestPerKey:
    """What most examples show: Spark, the latest event of each key in a batch, MERGE. It has no history."""

    name = "latest per key, MERGE"

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Begin a table in a folder."""
        self._spark = spark
        self._path = str(folder / "orders")
        spark.sql(
            f"CREATE TABLE delta.`{self._path}` ({_SPARK_ORDER}, began bigint) USING delta "
            "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
        )

    def take(self, bronze: pa.Table) -> None:
        """A MERGE."""
        rows = self._spark.createDataFrame(bronze.select(["offset", "value"]))
        event = F.from_json(F.col("value").cast("string"), f"after struct<{_SPARK_ORDER}>, op string")
        newest = F.row_number().over(Window.partitionBy("order_id").orderBy(F.desc("began")))
        latest = (
            rows.select(event.alias("event"), F.col("offset").alias("began"))
            .select("event.after.*", "began")
            .withColumn("place", newest)
            .where("place = 1")
            .drop("place")
        )
        (
            SparkTable.forPath(self._spark, self._path)
            .alias("t")
            .merge(latest.alias("s"), "t.order_id = s.order_id")
            .whenMatchedUpdateAll()
            .whenNotMatchedInsertAll()
            .execute()
        )

    def seen(self) -> Versions:
        """What its table says."""
        rows = self._spark.read.format("delta").load(self._path).select("order_id", "status", "began")
        return Counter((row.order_id, row.status, row.began, None) for row in rows.collect())
