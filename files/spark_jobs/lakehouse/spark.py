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
    # A small task is done elsewhere before the executor that keeps its rows is free.
    "spark.locality.wait": "0s",
    "spark.sql.parquet.compression.codec": "zstd",
    # A batch is small and its fixed costs count: no planning in rounds.
    "spark.sql.adaptive.enabled": "false",
    # VACUUM lists a table's folders in as many tasks: by default in 10,000, half a minute for an empty table.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    # Generating code for the expressions of each small task costs more than interpreting them: a quarter of
    # the CPU time of micro-batches, measured. The operators stay compiled, more than Spark keeps by itself.
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.cache.maxEntries": "2000",
    # Each call that makes a column would tell the JVM the line it is made in: a quarter of the messages
    # between Python and the JVM in a batch of gold.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # See delta_log, which writes it with fewer requests.
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
    # How long a table's old versions can be read; SCD type 2 keeps the history. Each look at a table lists
    # them all, a megabyte of names after two hours of batches every ten seconds. See delta_io.Upkeep.
    "spark.databricks.delta.properties.defaults.logRetentionDuration": "interval 30 minutes",
    # How long a file that left a table stays for those who read: longer than any query. See maintenance.
    "spark.databricks.delta.properties.defaults.deletedFileRetentionDuration": "interval 24 hours",
    # Never in a commit: delta_io.Upkeep writes the log's checkpoints, and deletes what is before them.
    "spark.databricks.delta.properties.defaults.checkpointInterval": "1000000000",
    "spark.databricks.delta.properties.defaults.enableExpiredLogCleanup": "false",
    "spark.databricks.delta.checkpoint.exceptionThrowing.enabled": "true",
    # What delta_io.Upkeep joins, and what it leaves as it is. OPTIMIZE takes files together up to the
    # greatest size, and rewrites none alone: a file of that size would keep its deleted rows. So what comes
    # of it is bounded by rows: by so many that the smallest rows reach the least size.
    "spark.databricks.delta.optimize.minFileSize": str(8 * 1024 * 1024),
    "spark.databricks.delta.optimize.maxFileSize": str(1024 * 1024 * 1024),
    "spark.databricks.delta.optimize.maxDeletedRowsRatio": "0.3",
    "spark.sql.files.maxRecordsPerFile": "2000000",
    "spark.databricks.delta.merge.materializeSource": "none",
    "spark.sql.streaming.noDataProgressEventInterval": "1000",
    "spark.sql.streaming.forceDeleteTempCheckpointLocation": "true",
    # Bronze's checkpoint is thrown away at its end. The default writes it through Hadoop's FileContext, which
    # without native code starts ten processes (chmod, readlink) for a file on local disk: of the 94 ms of CPU
    # time that an empty micro-batch took, this saves 53.
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
}


def session(name: str) -> SparkSession:
    """Starts Spark, or takes the session that there is."""
    builder = SparkSession.builder.appName(name)
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
