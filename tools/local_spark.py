"""A Spark with Delta on this machine, from the locked jars, set up as the jobs do it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import yaml
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import file_name
from lakehouse import spark
from pyspark.sql import SparkSession

JAVA_OPTIONS = "-XX:+UseSerialGC"
"""Of the JVM, as the services have them."""

_LOCK = Path(__file__).resolve().parents[1] / "files" / "artifacts.lock.yml"


def cache() -> Path:
    """The folder that keeps what takes long to get."""
    return Path(os.environ.get("CDC_LAKEHOUSE_CACHE", "~/.cache/cdc-lakehouse")).expanduser()


def session(
    name: str, *, memory: str, master: str = "local[2]", cores: int = 2, java: str = JAVA_OPTIONS
) -> SparkSession:
    """Starts Spark.

    Args:
        name: What it is called.
        memory: The heap, such as `1500m`.
        master: Where its tasks run.
        cores: How many that has.
        java: Options of the JVM.

    Raises:
        FileNotFoundError: A jar is not in the artifact cache.
    """
    submit = [
        *("--master", master, "--driver-memory", memory, "--jars", ",".join(map(str, jars("spark")))),
        *("--conf", f"spark.sql.shuffle.partitions={cores}"),
        *("--conf", "spark.ui.enabled=false", "--conf", "spark.ui.showConsoleProgress=false"),
        # The default for file:// starts ten processes (chmod, readlink) for a commit, which an object store
        # does not; this one is right where one process writes a table.
        *("--conf", "spark.delta.logStore.file.impl=io.delta.storage.LocalLogStore"),
        *("--driver-java-options", java),
    ]
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join([*submit, "pyspark-shell"])
    found = spark.session(name)
    found.sparkContext.setLogLevel("ERROR")
    return found


def jars(entry: str) -> list[Path]:
    """The jars of an entry of the lock, from the artifact cache.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    files = yaml.safe_load(_LOCK.read_text(encoding="utf-8"))[entry]["files"]
    found = [cache() / "files" / file_name(file) for file in files if "maven" in file]
    if missing := [str(path) for path in found if not path.exists()]:
        raise FileNotFoundError(f"not in the artifact cache: {', '.join(missing)}; `make jars` brings them")
    return found
