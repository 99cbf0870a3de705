"""What the jobs say about themselves: one JSON file, rewritten every two seconds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyspark.sql import Row

from lakehouse.latency import LatencyWindow, Sample
from lakehouse.retry import NeedsSomebody

LAYERS = ("bronze", "silver", "gold")


class Status:
    """The state of layers, tables and models; all layers' threads write into it."""

    def __init__(self, layers: Sequence[str] = LAYERS, *, scheduled: bool = False) -> None:
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._scheduled = scheduled
        self._started = time.time()
        self._stopping = False
        self._layers: dict[str, dict[str, Any]] = {
            name: {"state": "starting", "restarts": 0, "batches": 0, "last_batch": None, "error": None}
            for name in layers
        }
        self._as_of: dict[str, float] = {}
        self._changes = dict.fromkeys(layers, 0)
        self._latencies = {name: LatencyWindow() for name in layers}
        self._tables: dict[str, dict[str, Any]] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._quality: dict[str, dict[str, Any]] = {}
        self._files: dict[str, int] = {}
        self._kafka: dict[str, Any] = {}
        self._quarantine: dict[str, int] = {}
        self._maintenance: dict[str, Any] = {}

    def running(self, layer: str) -> None:
        """The layer is up."""
        with self._lock:
            self._layers[layer]["state"] = "running"

    def failed(self, layer: str, error: BaseException) -> None:
        """The layer died and will be started again."""
        with self._lock:
            state = self._layers[layer]
            state.update(state="failed", restarts=state["restarts"] + 1, error=_error(error))

    def stopping(self) -> None:
        """The application was told to stop."""
        with self._lock:
            self._stopping = True

    def batch(self, layer: str, seconds: float, rows: int, commit_times: Iterable[Row | Sample] = ()) -> None:
        """The layer committed a batch."""
        with self._lock:
            state = self._layers[layer]
            state["batches"] += 1
            state["last_batch"] = {"at": time.time(), "seconds": round(seconds, 3), "rows": rows}
            self._latencies[layer].add(commit_times)

    def source_as_of(self, layer: str) -> float | None:
        """The moment whose commits the layer holds once it holds what is there now; None: unknown."""
        before = _before(layer)
        with self._lock:
            return self._as_of.get(before) if before in self._layers else time.time()

    def complete(self, layer: str, as_of: float | None) -> None:
        """The layer holds every commit of the source up to that moment."""
        if as_of is not None:
            with self._lock:
                self._as_of[layer] = as_of

    def changed(self, layer: str) -> None:
        """The layer has, or may have, changed its tables."""
        with self._news:
            self._changes[layer] += 1
            self._news.notify_all()

    def changes_before(self, layer: str) -> int | None:
        """How often the layer before has changed its tables; None: it runs elsewhere, nobody knows."""
        return self._changes.get(_before(layer))

    def await_change(self, layer: str, known: int | None, seconds: float) -> None:
        """Waits until the layer before has changed its tables once more, or for so long."""
        with self._news:
            self._news.wait_for(lambda: self.changes_before(layer) != known, seconds)

    def expects(self, name: str) -> None:
        """A table in silver is about to be looked at for the first time."""
        with self._lock:
            self._tables.setdefault(name, {"state": "starting"})

    def found(self, name: str) -> None:
        """A table in silver is there, and has the source's columns."""
        with self._lock:
            if self._tables[name]["state"] == "starting":
                self._tables[name]["state"] = "running"

    def table(self, name: str, **facts: Any) -> None:
        """Facts about a table in silver."""
        with self._lock:
            self._tables.setdefault(name, {}).update(facts)

    def model(self, name: str, **facts: Any) -> None:
        """Facts about a gold model."""
        with self._lock:
            self._models.setdefault(name, {}).update(facts)

    def quality(self, name: str, **facts: Any) -> None:
        """Facts about the quality rules of a table in silver."""
        with self._lock:
            self._quality.setdefault(name, {}).update(facts)

    def files(self, table: str, count: int | None) -> None:
        """How many files a table has, by `layer.table`; None: not known now."""
        if count is not None:
            with self._lock:
                self._files[table] = count

    def maintenance(self, **facts: Any) -> None:
        """What the last cleaning came to."""
        with self._lock:
            self._maintenance.update(facts)

    def kafka(self, lag: Mapping[str, int]) -> None:
        """How many records of each topic are not in bronze yet."""
        with self._lock:
            self._kafka = {"lag": dict(lag), "total_lag": sum(lag.values())}

    def quarantine(self, records: Mapping[str, int]) -> None:
        """How many records of each table are in quarantine."""
        with self._lock:
            self._quarantine = dict(records)

    def as_json(self) -> dict[str, Any]:
        """Everything, as it is now."""
        with self._lock:
            now = time.time()
            layers = {}
            for name, state in self._layers.items():
                quantiles = self._latencies[name].quantiles(now)
                as_of = self._as_of.get(name)
                layers[name] = {
                    **state,
                    "freshness_seconds": None if as_of is None else round(now - as_of, 1),
                    "latency_seconds": None if quantiles is None else asdict(quantiles),
                }
            return {
                "written_at": now,
                "started_at": self._started,
                "state": self._state(),
                "scheduled": self._scheduled,
                "layers": layers,
                "tables": {name: dict(facts) for name, facts in self._tables.items()},
                "models": {name: dict(facts) for name, facts in self._models.items()},
                "quality": {name: dict(facts) for name, facts in self._quality.items()},
                "files": dict(self._files),
                "kafka": self._kafka,
                "quarantine": dict(self._quarantine),
                "maintenance": dict(self._maintenance),
            }

    def _state(self) -> str:
        if self._stopping:
            return "stopping"
        parts = [
            *self._layers.values(),
            *self._tables.values(),
            *self._models.values(),
            *self._quality.values(),
        ]
        states = {part.get("state", "running") for part in parts}
        return next((state for state in ("failed", "starting") if state in states), "running")

    def write(self, path: Path) -> None:
        """Writes the file so that a reader never sees half of it."""
        new = path.with_name(f".{path.name}.new")
        new.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        new.chmod(0o644)
        new.replace(path)


def _before(layer: str) -> str:
    return LAYERS[LAYERS.index(layer) - 1]


def failure(error: BaseException) -> dict[str, Any]:
    """The facts about a table or model that failed."""
    return {"state": "failed", "error": _error(error)}


def _error(error: BaseException) -> dict[str, Any]:
    # Of an error from Java the second line tells what happened.
    return {
        "at": time.time(),
        "message": f"{type(error).__name__}: {' '.join(str(error).split(chr(10))[:2])}"[:1000],
        "needs_somebody": isinstance(error, NeedsSomebody),
    }
