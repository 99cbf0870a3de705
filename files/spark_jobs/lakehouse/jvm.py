"""What is asked of the JVM itself, with few messages: each takes as long as a thousand lines of Python."""

from __future__ import annotations

import tempfile
from functools import cache
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema


def java_class(spark: SparkSession, name: str) -> Any:
    """A class by its full name.

    Asked for by `spark._jvm.org.apache…`, the JVM looks through every jar for a class at each dot, at each
    use: a twelfth of what the pipeline did under light traffic.
    """
    return _class(spark._jvm, name)


@cache
def _class(jvm: Any, name: str) -> Any:
    return getattr(jvm, name)


def frame(spark: SparkSession, rows: pa.Table) -> DataFrame:
    """Rows as Spark has them; times without a zone stay such.

    `createDataFrame` asks for a dozen settings first, with forty messages instead of six.
    """
    python = java_class(spark, "org.apache.spark.sql.api.python.PythonSQLUtils")
    with tempfile.NamedTemporaryFile(dir=spark.sparkContext._temp_dir, suffix=".arrow") as file:
        with pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows)
        file.flush()
        batches = python.readArrowStreamFromFile(file.name)
    schema = from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)
    return DataFrame(python.toDataFrame(batches, schema.json(), spark._jsparkSession), spark)


def use(spark: SparkSession, pool: str) -> None:
    """Has this thread work with a session, and its jobs share the cores with others as a pool of their own.

    A thread in which no query began has no session as far as Delta knows, and fails where it needs a job.
    """
    java_class(spark, "org.apache.spark.sql.SparkSession").setActiveSession(spark._jsparkSession)
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", pool)


def nothing(spark: SparkSession) -> Any:
    """Scala's None."""
    return java_class(spark, "scala.Option").empty()
