"""All three layers in one application, each in a thread of its own."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pyspark.sql import SparkSession

from lakehouse import bronze, requests, silver
from lakehouse.bronze import Bronze
from lakehouse.config import Config
from lakehouse.gold import Gold
from lakehouse.maintenance import Maintenance
from lakehouse.retry import Backoff
from lakehouse.silver import Silver
from lakehouse.status import LAYERS, Status

_WRITE_STATUS_EVERY = 2.0
_RAN_WELL = 300.0  # seconds after which a failure is a new one, not one more in a row
_STOP_WITHIN = 15.0  # seconds for all layers together; the unit kills after 25

log = logging.getLogger(__name__)


class Layer(Protocol):
    """What runs until it is told to stop, and raises when it cannot go on."""

    def run(self, stop: threading.Event, *, available_now: bool = False) -> None:
        """Runs the layer."""


LAYER_TYPES: dict[str, Callable[[SparkSession, Config, Status], Layer]] = {
    "bronze": Bronze,
    "silver": Silver,
    "gold": Gold,
}


def create_tables(spark: SparkSession, config: Config) -> None:
    """Creates the tables of bronze and silver that are missing; gold's come with their first computation."""
    bronze.create_table(spark, config)
    silver.create_tables(spark, config)


def run_now(spark: SparkSession, config: Config, layers: tuple[str, ...] = LAYERS) -> None:
    """Brings layers up to what is there at present, one after the other, and ends."""
    create_tables(spark, config)
    status = Status(layers)
    for name in layers:
        LAYER_TYPES[name](spark, config, status).run(threading.Event(), available_now=True)


def run(spark: SparkSession, config: Config, layers: tuple[str, ...] = LAYERS) -> None:
    """Runs layers side by side until SIGTERM or SIGINT, which lets what is under way come to its end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    status = Status(layers)
    create_tables(spark, config)
    requests.fulfil(spark, config)
    threads = [
        threading.Thread(
            target=supervise,
            args=(spark, config, status, name, stop),
            name=name,
            daemon=True,
        )
        for name in layers
    ]
    maintenance = Maintenance(spark, config, status)
    threads.append(threading.Thread(target=maintenance.run, args=(stop,), name=maintenance.name, daemon=True))
    for thread in threads:
        thread.start()
    while not stop.wait(_WRITE_STATUS_EVERY):
        _write(status, config.status_file)
    status.stopping()
    _write(status, config.status_file)
    deadline = time.monotonic() + _STOP_WITHIN
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def supervise(spark: SparkSession, config: Config, status: Status, name: str, stop: threading.Event) -> None:
    """Runs a layer; starts it again, after a while, whenever it fails."""
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", name)
    backoff = Backoff()
    while not stop.is_set():
        began = time.monotonic()
        try:
            LAYER_TYPES[name](spark, config, status).run(stop)
        except Exception as error:
            if time.monotonic() - began > _RAN_WELL:
                backoff.succeeded()
            wait = backoff.failed()
            log.exception("%s failed; next start in %.0f s", name, wait)
            status.failed(name, error)
            stop.wait(wait)


def _write(status: Status, path: Path) -> None:
    try:
        status.write(path)
    except OSError as error:
        log.warning("status file %s: %s", path, error)
