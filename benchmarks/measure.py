"""What is measured, and how it is told."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Cost:
    """What a piece of work cost.

    Attributes:
        cpu: CPU-seconds of this process and those it started, the JVM among them.
        wall: Seconds.
        data: Bytes of data files that it wrote: rows, change feed, deletion vectors.
        log: Bytes that it wrote to the tables' logs, checkpoints among them.
        rows: Rows in the files that it added.
        rewritten: Data files that it took out of the tables.
    """

    cpu: float = 0.0
    wall: float = 0.0
    data: int = 0
    log: int = 0
    rows: int = 0
    rewritten: int = 0

    @property
    def data_per_row(self) -> float:
        """Bytes for each row that it wrote."""
        return self.data / max(1, self.rows)


@contextmanager
def cost(folder: Path, without: Collection[int] = ()) -> Iterator[Cost]:
    """Measures the work done inside, and what it left of the Delta tables anywhere below a folder.

    Args:
        folder: Has the tables.
        without: Processes that this one started and whose work is not meant.
    """
    found = Cost()
    before = _files(folder)
    cpu, wall = cpu_so_far(without), time.monotonic()
    yield found
    found.cpu, found.wall = cpu_so_far(without) - cpu, time.monotonic() - wall
    new = {path: size for path, size in _files(folder).items() if path not in before}
    found.log = sum(size for path, size in new.items() if "_delta_log" in path.parts)
    found.data = sum(new.values()) - found.log
    commits = (path for path in new if path.parent.name == "_delta_log" and path.suffix == ".json")
    for added, removed in map(_files_of, commits):
        # What is both only got a deletion vector.
        found.rows += sum(rows for path, rows in added.items() if path not in removed)
        found.rewritten += len(removed - added.keys())


def _files(folder: Path) -> dict[Path, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.stat().st_size for path in files}


def _files_of(commit: Path) -> tuple[dict[str, int], set[str]]:
    """The files that a commit adds, with their rows, and those that it removes."""
    actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
    adds = [action["add"] for action in actions if "add" in action]
    added = {add["path"]: int(json.loads(add["stats"])["numRecords"]) for add in adds}
    return added, {action["remove"]["path"] for action in actions if "remove" in action}


def cpu_seconds(stat: str) -> float:
    """What a process has taken, as its /proc/<id>/stat tells."""
    told = _after_the_name(stat)
    return (int(told[11]) + int(told[12])) / _TICKS


def _after_the_name(stat: str) -> list[str]:
    return stat.rpartition(")")[2].split()


@dataclass
class Memory:
    """What processes hold.

    Attributes:
        most: The most bytes that were resident at a time.
    """

    most: int = 0


@contextmanager
def memory(without: Collection[int] = ()) -> Iterator[Memory]:
    """Looks every second at the resident memory of this process and those it started.

    Args:
        without: Processes that this one started and whose memory is not meant.
    """
    found, done = Memory(), threading.Event()

    def look() -> None:
        while not done.wait(1):
            pages = (int(_after_the_name(stat)[21]) for stat in _stats(without))
            found.most = max(found.most, sum(pages) * _PAGE)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        done.set()
        looking.join()


def cpu_so_far(without: Collection[int] = ()) -> float:
    """CPU-seconds of this process and those it started, but for some."""
    return sum(map(cpu_seconds, _stats(without)))


def _stats(without: Collection[int]) -> list[str]:
    """What /proc/<id>/stat tells of this process and its descendants, but for some."""
    parents: dict[int, int] = {}
    stats: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        parents[int(process.name)] = int(_after_the_name(stat)[1])
        stats[int(process.name)] = stat
    ours = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in ours} - {*ours, *without}:
        ours |= more
    return [stats[process] for process in ours]


@dataclass(frozen=True)
class Measure:
    """A figure, what the same costs others, and what it should be.

    Attributes:
        name: What was measured.
        unit: Its unit.
        runs: What each run gave.
        peers: The medians of others that did the same, by their name.
        at_most: The greatest median that meets the goal; None: there is no such goal.
        at_least: The least.
    """

    name: str
    unit: str
    runs: Sequence[float]
    peers: Mapping[str, float] = field(default_factory=dict)
    at_most: float | None = None
    at_least: float | None = None

    @property
    def median(self) -> float:
        """The runs' median."""
        return statistics.median(self.runs)

    @property
    def goal(self) -> str | None:
        """The goal as text."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return None if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None: there is none."""
        if self.at_most is not None:
            return self.median <= self.at_most
        return None if self.at_least is None else self.median >= self.at_least

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        runs = [round(run, 4) for run in self.runs]
        ours = {"median": round(self.median, 4), "min": min(runs), "max": max(runs), "runs": runs}
        told = {"name": self.name, "unit": self.unit, "ours": ours, "peers": dict(self.peers)}
        return told | {"goal": self.goal, "met": self.met}


def table(measures: Sequence[Measure]) -> str:
    """The measures as a table for the screen."""
    head = ("measure", "unit", "median", "min", "max", "runs", "goal", "", "peers")
    rows = [head, *map(_row, measures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        texts = [
            text.rjust(width) if 2 <= place < 7 else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def _row(measure: Measure) -> tuple[str, ...]:
    figures = (measure.median, min(measure.runs), max(measure.runs))
    met = {None: "", True: "met", False: "missed"}[measure.met]
    return (
        *(measure.name, measure.unit, *map(_figure, figures)),
        *(str(len(measure.runs)), measure.goal or "", met),
        ", ".join(f"{name}: {_figure(figure)}" for name, figure in measure.peers.items()),
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
