"""Classes of the JVM."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession


def java_class(spark: SparkSession, name: str) -> Any:
    """A class by its full name.

    Asked for by `spark._jvm.org.apache…`, the JVM looks through every jar for a class at each dot, at each
    use: a twelfth of what the pipeline did under light traffic.
    """
    return getattr(spark._jvm, name)


def use(spark: SparkSession, pool: str) -> None:
    """Has this thread work with a session, and its jobs share the cores with others as a pool of their own.

    A thread in which no query began has no session as far as Delta knows, and fails where it needs a job.
    """
    java_class(spark, "org.apache.spark.sql.SparkSession").setActiveSession(spark._jsparkSession)
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", pool)


def nothing(spark: SparkSession) -> Any:
    """Scala's None."""
    return java_class(spark, "scala.Option").empty()
