"""One small Spark for all tests here."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "files" / "spark_jobs"))


def jars() -> list[Path]:
    """Delta's jars, from the artifact cache or the folder that LAKEHOUSE_TEST_JARS names."""
    folder = Path(os.environ.get("LAKEHOUSE_TEST_JARS", "/tmp/w/jars"))
    found = sorted(folder.glob("*.jar"))
    if not found:
        pytest.fail(f"{folder} holds no jars; fill the artifact cache first")
    return found


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark with Delta, on two cores, as the jobs set it up."""
    from lakehouse import spark as settings

    submit = [
        *("--master", "local[2]", "--driver-memory", "1500m", "--jars", ",".join(map(str, jars()))),
        *("--conf", "spark.ui.enabled=false"),
        *("--driver-java-options", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
    ]
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join([*submit, "pyspark-shell"])
    session = settings.session("tests")
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
