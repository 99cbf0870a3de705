"""Runs the pipeline as a process of its own that kills itself at a named point: `dying.py CONFIG POINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lakehouse import config, delta_io, pipeline, spark
from lakehouse.delta_log import TableLog
from lakehouse.partials import Partials
from lakehouse.silver_table import SilverTable

Names = Callable[[Any], bool]
"""Whether a call is meant, by its first argument (for a method: the object)."""


def _log_of(layer: str) -> Names:
    return lambda log: f"/{layer}/" in log._path


def _path_of(layer: str) -> Names:
    return lambda upkeep: f"/{layer}/" in upkeep._path


def _any(_: Any) -> bool:
    return True


BEFORE, AFTER = True, False
POINTS: dict[str, tuple[Any, str, bool, Names]] = {
    "bronze: the file is written, not committed": (TableLog, "_commit", BEFORE, _log_of("bronze")),
    "bronze: committed, Spark's batch is not": (TableLog, "_commit", AFTER, _log_of("bronze")),
    "bronze: its files were joined": (delta_io.Upkeep, "_join", AFTER, _path_of("bronze")),
    "silver: the files are written, not committed": (TableLog, "_commit", BEFORE, _log_of("silver")),
    "silver: committed, the heads are not": (TableLog, "_commit", AFTER, _log_of("silver")),
    "silver: the heads are noted": (SilverTable, "_write", AFTER, _any),
    "silver: its files were joined": (delta_io.Upkeep, "_join", AFTER, _path_of("silver")),
    "gold: rows are written, not committed": (TableLog, "_commit", BEFORE, _log_of("gold")),
    "gold: changes are folded in, not committed": (Partials, "fold", AFTER, _any),
    "gold: committed, the partial aggregates are not": (Partials, "note", BEFORE, _any),
    "gold: committed": (TableLog, "_commit", AFTER, _log_of("gold")),
}


def _die_at(name: str) -> None:
    owner, function, before, meant = POINTS[name]
    original = getattr(owner, function)

    def dying(*arguments: Any, **named: Any) -> Any:
        if before and meant(arguments[0]):
            _die(name)
        result = original(*arguments, **named)
        if meant(arguments[0]):
            _die(name)
        return result

    setattr(owner, function, dying)


def _die(name: str) -> None:
    print(f"died at: {name}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    delta_io.Upkeep.FILES = 2
    _die_at(sys.argv[2])
    pipeline.run_now(spark.session("dying"), config.load(Path(sys.argv[1])))
