"""One small Spark for all tests here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]


def jars(entry: str) -> list[Path]:
    """The jars of an entry of the lock, from the artifact cache."""
    cache = Path(os.environ.get("CDC_LAKEHOUSE_CACHE", "~/.cache/cdc-lakehouse")).expanduser()
    lock = yaml.safe_load((ROOT / "files" / "artifacts.lock.yml").read_text(encoding="utf-8"))
    wanted = [file["maven"].split(":") for file in lock[entry]["files"] if "maven" in file]
    found = [cache / "files" / f"{name}-{version}.jar" for _, name, *rest, version in wanted if not rest]
    if missing := [str(path) for path in found if not path.exists()]:
        pytest.fail(f"not in the artifact cache: {', '.join(missing)}; `make jars` brings them")
    return found


def submit_arguments() -> str:
    """The value of PYSPARK_SUBMIT_ARGS for Spark with Delta on two cores."""
    submit = [
        *("--master", "local[2]", "--driver-memory", "1500m", "--jars", ",".join(map(str, jars("spark")))),
        *("--conf", "spark.ui.enabled=false"),
        *("--driver-java-options", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
    ]
    return shlex.join([*submit, "pyspark-shell"])


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark with Delta, on two cores, as the jobs set it up."""
    from lakehouse import spark as settings

    os.environ["PYSPARK_SUBMIT_ARGS"] = submit_arguments()
    session = settings.session("tests")
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
