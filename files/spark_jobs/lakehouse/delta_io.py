"""What the layers share to read and write Delta tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def create_if_missing(
    spark: SparkSession,
    path: str,
    schema: str,
    *,
    partitioned_by: str | None = None,
    properties: Mapping[str, str],
) -> None:
    """Creates an empty Delta table, unless there is one."""
    if DeltaTable.isDeltaTable(spark, path):
        return
    builder = DeltaTable.createIfNotExists(spark).location(path).addColumns(StructType.fromDDL(schema))
    if partitioned_by:
        builder = builder.partitionedBy(partitioned_by)
    for name, value in properties.items():
        builder = builder.property(name, value)
    builder.execute()


def latest_version(spark: SparkSession, path: str) -> int:
    """The table's newest version; costs one listing of its log."""
    none = spark._jvm.scala.Option.empty()
    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    return int(log.update(False, none, none).version())


def read(spark: SparkSession, path: str, version: int) -> DataFrame:
    """The table as of a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(path)


def changes(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame:
    """The change data feed of the versions after `after`, up to `upto`."""
    reader = spark.read.format("delta").option("readChangeFeed", "true")
    return reader.option("startingVersion", after + 1).option("endingVersion", upto).load(path)


def last_metadata(spark: SparkSession, path: str) -> dict[str, Any] | None:
    """What the newest commit that carries metadata says; None when none does."""
    commits = DeltaTable.forPath(spark, path).history().where("userMetadata is not null")
    newest = commits.orderBy(F.col("version").desc()).select("userMetadata").first()
    return json.loads(newest["userMetadata"]) if newest else None
