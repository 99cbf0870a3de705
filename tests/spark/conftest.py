"""One small Spark for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from tools import local_spark


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark with Delta, on two cores, as the jobs set it up."""
    session = local_spark.session("tests", memory="1500m", java_options=["-XX:TieredStopAtLevel=1"])
    yield session
    session.stop()
