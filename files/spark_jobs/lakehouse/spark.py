"""The Spark session of the jobs."""

from __future__ import annotations

from pyspark.sql import SparkSession

# What the jobs rely on or are slow without. Where they run and how much they may use is for the Spark
# configuration to say.
_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.scheduler.mode": "FAIR",
    "spark.sql.parquet.compression.codec": "zstd",
    # A batch is small and its fixed costs count: no fan-out over many partitions, no planning in rounds.
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    # The code of every query stays compiled: there are more than the 100 that Spark keeps otherwise.
    "spark.sql.codegen.cache.maxEntries": "2000",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.merge.materializeSource": "none",
    "spark.sql.streaming.noDataProgressEventInterval": "1000",
    "spark.sql.streaming.forceDeleteTempCheckpointLocation": "true",
}


def session(name: str) -> SparkSession:
    """Starts Spark, or takes the session that there is."""
    builder = SparkSession.builder.appName(name)
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
