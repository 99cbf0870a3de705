"""Silver and gold on a schedule: as a batch whenever somebody asks for one, instead of again and again.

The systemd timer `lakehouse-batch` asks, by a file beside the status file. The pipeline brings silver and
then gold up to what was committed by the moment of the request; bronze goes on all the time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAYERS = ("silver", "gold")
BATCH_REQUEST = "batch"
_SILENT = 30.0  # seconds after which a pipeline that rewrites its status every two seconds is not there
_ROUNDING = 0.1  # the status tells ages in tenths of a second


class ScheduleError(Exception):
    """A batch did not come to its end."""


def request_file(status_file: Path) -> Path:
    """The file that asks for a batch; the pipeline takes it away when it has seen it."""
    return status_file.with_name(BATCH_REQUEST)


def taken(status_file: Path) -> bool:
    """Takes a request; false when there is none."""
    try:
        request_file(status_file).unlink()
    except FileNotFoundError:
        return False
    return True


def ask(status_file: Path, timeout: float) -> float:
    """Asks for a batch and waits for it.

    Args:
        status_file: Where the pipeline says how far it has come.
        timeout: Seconds to wait.

    Returns:
        How many seconds it took until silver and gold had everything that was committed before the call.

    Raises:
        ScheduleError: The pipeline does not run, a layer failed, or the time is over.
    """
    began = time.time()
    try:
        request_file(status_file).touch()
    except OSError as error:
        raise ScheduleError(f"lakehouse-pipeline does not run on this host: {error}") from error
    while not _has_passed(status_file, began):
        if time.time() - began > timeout:
            raise ScheduleError(f"silver and gold were not there within {timeout:.0f} s; see `make status`")
        time.sleep(0.5)
    return time.time() - began


def _has_passed(status_file: Path, moment: float) -> bool:
    try:
        status = json.loads(status_file.read_text(encoding="utf-8"))
    except FileNotFoundError:  # it starts
        return False
    return passed(status, moment, time.time())


def passed(status: Mapping[str, Any], moment: float, now: float) -> bool:
    """Whether silver and gold have what was committed by a moment.

    Raises:
        ScheduleError: They cannot get there: the pipeline is silent, or a layer failed after the moment.
    """
    if now - status["written_at"] > _SILENT:
        raise ScheduleError("lakehouse-pipeline does not run, or hangs; systemctl status lakehouse-pipeline")
    done = []
    for name in LAYERS:
        layer = status["layers"][name]
        if layer["state"] == "failed" and layer["error"]["at"] > moment:
            raise ScheduleError(f"{name} failed: {layer['error']['message']}")
        age = layer["freshness_seconds"]
        done.append(age is not None and status["written_at"] - age + _ROUNDING >= moment)
    return all(done)
