"""How far the layers have come, and waiting for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lakehouse_verify.finding import VerifyError

ROUNDING = 0.2  # the status file tells freshness in tenths of a second


def complete_as_of(status_file: Path, layer: str) -> float:
    """The moment whose changes a layer holds in full, on this host's clock; 0 when it is unknown."""
    status = _read(status_file)
    freshness = status["layers"][layer]["freshness_seconds"]
    return 0.0 if freshness is None else float(status["written_at"]) - float(freshness) - ROUNDING


def gold_versions(status_file: Path) -> dict[str, dict[str, int]]:
    """For each gold model the silver versions that it shows, as the pipeline says."""
    return {name: facts.get("silver", {}) for name, facts in _read(status_file)["models"].items()}


def ask_for_batch(request: Path) -> None:
    """Make the pipeline bring silver and gold up to now."""
    try:
        request.touch()
    except OSError as error:
        raise VerifyError(f"lakehouse-pipeline does not run on this host: {error}") from error


def _read(status_file: Path) -> dict[str, Any]:
    try:
        status: dict[str, Any] = json.loads(status_file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VerifyError(
            f"{status_file} is not there: lakehouse-pipeline does not run on this host"
        ) from error
    return status


def wait(condition: Callable[[], bool], deadline: float) -> bool:
    """Look again and again until the condition holds, or the deadline on the monotonic clock is over."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
