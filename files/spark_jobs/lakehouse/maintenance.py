"""Deletes the files that no table needs any more.

Every batch leaves files behind: those whose rows went into new ones, and the change feed's. Readers may
still be on them, so a file stays for as long as `delta.deletedFileRetentionDuration` says. Files are joined
elsewhere, by the one who writes them (delta_io.Upkeep).
"""

from __future__ import annotations

import logging
import threading
import time

from pyspark.sql import SparkSession

from lakehouse import delta_io, former, models
from lakehouse.config import Config
from lakehouse.jvm import use
from lakehouse.status import Status, failure

_LOOK_EVERY = 60.0
_AFTER_A_FAILURE = 3600.0

log = logging.getLogger(__name__)


def clean(spark: SparkSession, config: Config) -> None:
    """Deletes what is not needed any more of every table."""
    paths = [config.bronze_path, *map(config.silver_path, config.tables)]
    paths += [config.gold_path(model.name) for model in models.load_all(config.gold_models)]
    paths += former.paths(config)
    for path in paths:
        if delta_io.latest_version(spark, path) >= 0:
            spark.sql(f"VACUUM delta.`{path}`")


class Maintenance:
    """Cleans whenever the last time is long enough ago, also when the pipeline was not up meanwhile."""

    name = "maintenance"

    def __init__(self, spark: SparkSession, config: Config, status: Status) -> None:
        self._spark = spark
        self._config = config
        self._status = status
        self._done = config.state / "maintained"

    def run(self, stop: threading.Event) -> None:
        """Runs until told to stop."""
        use(self._spark, self.name)
        while not stop.is_set():
            wait = _LOOK_EVERY
            if self._due:
                try:
                    self.step()
                except Exception as error:
                    log.exception("maintenance failed; next try in %.0f s", _AFTER_A_FAILURE)
                    self._status.maintenance(**failure(error))
                    wait = _AFTER_A_FAILURE
            stop.wait(wait)

    def step(self) -> None:
        """Cleans, and notes that it did."""
        began = time.time()
        clean(self._spark, self._config)
        log.info("maintenance: done in %.0f s", time.time() - began)
        self._done.touch()
        self._status.maintenance(state="running", at=began, seconds=round(time.time() - began, 1), error=None)

    @property
    def _due(self) -> bool:
        try:
            last = self._done.stat().st_mtime
        except FileNotFoundError:  # a new lake has nothing to clean
            self._done.parent.mkdir(parents=True, exist_ok=True)
            self._done.touch()
            return False
        return time.time() - last >= self._config.triggers.maintenance
