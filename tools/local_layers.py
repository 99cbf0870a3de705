"""The pipeline's layers in this process, running side by side as the service has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lakehouse import pipeline
from lakehouse.config import Config
from lakehouse.status import Status
from pyspark.sql import SparkSession

S = TypeVar("S", bound=Status)


@contextmanager
def running(spark: SparkSession, config: Config, status: S, names: Sequence[str]) -> Iterator[S]:
    """Runs layers, which tell how they are in the status, until it is left."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=pipeline.supervise, args=(spark, config, status, name, stop))
        for name in names
    ]
    for thread in threads:
        thread.start()
    try:
        yield status
    finally:
        stop.set()
        for thread in threads:
            thread.join()
