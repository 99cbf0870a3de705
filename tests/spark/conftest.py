"""One small Spark for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Chain
from pyspark.sql import SparkSession

from tools import local_kafka, local_spark
from tools.local_kafka import Broker


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark with Delta, on two cores, as the jobs set it up."""
    session = local_spark.session("tests", memory="1500m")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker."""
    with local_kafka.running(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def chain(spark: SparkSession, kafka: Broker, tmp_path: Path) -> Chain:
    """The way from Kafka to gold, empty."""
    return Chain(spark, kafka, tmp_path)
