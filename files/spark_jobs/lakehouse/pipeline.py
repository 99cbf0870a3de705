"""All three layers in one application, each in a thread of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pyspark.sql import SparkSession

from lakehouse import bronze, delta_io, former, requests, schedule, silver
from lakehouse.bronze import Bronze
from lakehouse.config import Config
from lakehouse.gold import Gold
from lakehouse.jvm import use
from lakehouse.maintenance import Maintenance
from lakehouse.retry import Backoff
from lakehouse.silver import Silver
from lakehouse.status import LAYERS, Status

_WRITE_STATUS_EVERY = 2.0
_LOOK_FOR_REQUESTS_EVERY = 0.5
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
    failures = _in_turn(spark, config, Status(layers), layers, threading.Event())
    if failures:
        raise failures[0]


def _in_turn(
    spark: SparkSession, config: Config, status: Status, layers: tuple[str, ...], stop: threading.Event
) -> list[Exception]:
    """Brings layers up to what is there at present; one that fails stops none that comes after."""
    failures: list[Exception] = []
    for name in layers:
        try:
            LAYER_TYPES[name](spark, config, status).run(stop, available_now=True)
        except Exception as error:  # of a table: what comes next goes on with the others
            log.exception("%s failed", name)
            status.failed(name, error)
            failures.append(error)
    delta_io.finish_upkeep()
    return failures


def run(spark: SparkSession, config: Config, layers: tuple[str, ...] = LAYERS) -> None:
    """Runs layers side by side until SIGTERM or SIGINT, which lets what is under way come to its end."""
    scheduled = config.scheduled and layers == LAYERS
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    status = Status(layers, scheduled=scheduled)
    create_tables(spark, config)
    former.note(config)
    requests.fulfil(spark, config)
    threads = [
        threading.Thread(
            target=supervise,
            args=(spark, config, status, name, stop),
            name=name,
            daemon=True,
        )
        for name in layers
        if not (scheduled and name in schedule.LAYERS)
    ]
    if scheduled:
        batches = Batches(spark, config, status)
        threads.append(threading.Thread(target=batches.run, args=(stop,), name="batches", daemon=True))
    maintenance = Maintenance(spark, config, status)
    threads.append(threading.Thread(target=maintenance.run, args=(stop,), name=maintenance.name, daemon=True))
    for thread in threads:
        thread.start()
    while not stop.wait(_WRITE_STATUS_EVERY):
        if not _lives(spark):
            log.critical(
                "Spark is gone, and with it all that runs here; who started the pipeline starts it again"
            )
            logging.shutdown()
            os._exit(1)  # an orderly end would wait for threads that wait for Spark
        _write(status, config.status_file)
    status.stopping()
    _write(status, config.status_file)
    deadline = time.monotonic() + _STOP_WITHIN
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def supervise(spark: SparkSession, config: Config, status: Status, name: str, stop: threading.Event) -> None:
    """Runs a layer; starts it again, after a while, whenever it fails."""
    use(spark, name)
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


class Batches:
    """Runs silver and then gold whenever a batch is asked for, and once at the start."""

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._backoff = Backoff()

    def run(self, stop: threading.Event) -> None:
        """Runs until told to stop; a batch that fails is tried again after a while."""
        use(self._spark, "batches")
        asked: float | None = time.time()  # for what came while the pipeline was away
        while not stop.wait(_LOOK_FOR_REQUESTS_EVERY):
            if schedule.taken(self._config.status_file):
                asked = time.time()
            # A request is for all that was committed by then: bronze has to have it first.
            has = self._status.source_as_of(schedule.LAYERS[0])
            if asked and has and has >= asked and self._backoff.due and self._batch(stop):
                asked = None

    def _batch(self, stop: threading.Event) -> bool:
        if _in_turn(self._spark, self._config, self._status, schedule.LAYERS, stop):
            log.info("next try in %.0f s", self._backoff.failed())
            return False
        self._backoff.succeeded()
        return True


def _lives(spark: SparkSession) -> bool:
    """Whether the JVM answers, and its connection to the cluster was not given up."""
    try:
        return not spark.sparkContext._jsc.sc().isStopped()
    except Exception as error:  # whatever Py4J makes of a JVM that is not there
        log.error("Spark does not answer: %s", error)
        return False


def _write(status: Status, path: Path) -> None:
    try:
        status.write(path)
    except OSError as error:
        log.warning("status file %s: %s", path, error)
