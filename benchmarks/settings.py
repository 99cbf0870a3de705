"""What the defaults rest upon: the same work with other values of a setting, which are told as the peers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from lakehouse import bronze
from lakehouse.config import Triggers
from lakehouse.delta_io import Upkeep
from pyspark.sql import SparkSession

from benchmarks.chain import at_trigger, bulk
from benchmarks.lake import Lake, scratch, with_history
from benchmarks.measure import Measure, cost, cpu_so_far
from tools import local_spark

_ROOT = Path(__file__).resolve().parents[1]
_HISTORY = 20_000
_RECORDS = (5_000, 200_000)
_FILES = (10, 100)
_TRIGGERS = (0.0, 3.0, 30.0)
_BATCHES = 100  # so that files are joined some times
_RUNS = 5
_FIRST, _LATER, _EACH = 20, (80, 130), 10
_ARCHIVE = "class data shared"
_JVM = {
    "G1": "-XX:+UseG1GC",
    "C1 alone": f"{local_spark.JAVA_OPTIONS} -XX:TieredStopAtLevel=1",
    _ARCHIVE: f"{local_spark.JAVA_OPTIONS} -XX:SharedArchiveFile=",
}


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    yield _records(spark)
    yield from _files(spark)
    yield from _triggers(spark)
    yield from _jvm()


def _records(spark: SparkSession) -> Measure:
    """What a backlog costs bronze with other batches."""
    others = {}
    for most in _RECORDS:
        with _set(bronze, "MAX_RECORDS", most):
            others[f"{most:,}"] = bulk(spark).median
    return Measure(f"bronze, batches of {bronze.MAX_RECORDS:,}", "rows/CPU-s", bulk(spark).runs, others)


def _files(spark: SparkSession) -> Iterator[Measure]:
    """What silver costs when it joins its files after more of them, or fewer."""
    cpu, seconds = {}, {}
    for files in (Upkeep.FILES, *_FILES):
        print(f"\r  files joined at {files}{'':10}", end="", flush=True)
        with _set(Upkeep, "FILES", files), with_history(spark, _HISTORY) as lake:
            cpu[files], seconds[files] = _batches(lake)
    print(flush=True)
    for unit, found in (("CPU-s", cpu), ("s, p95", seconds)):
        ours = found.pop(Upkeep.FILES)
        others = {f"at {files}": median(runs) for files, runs in found.items()}
        yield Measure(f"silver, a batch, files joined at {Upkeep.FILES}", unit, ours, others)


def _triggers(spark: SparkSession) -> Iterator[Measure]:
    """What it costs to look for news more often, or seldom, and how old changes get by that."""
    found = {}
    for seconds in (Triggers.gold, *_TRIGGERS):
        print(f"\r  a look every {seconds:g} s{'':10}", end="", flush=True)
        found[seconds] = at_trigger(spark, seconds)
    print(flush=True)
    ours = found.pop(Triggers.gold)
    for place, (what, unit) in enumerate(
        (("all layers and the traffic", "cores"), ("commit to gold", "s, p50"))
    ):
        others = {f"every {seconds:g} s": figures[place] for seconds, figures in found.items()}
        yield Measure(f"{what}, a look every {Triggers.gold:g} s", unit, [ours[place]], others)


def _batches(lake: Lake) -> tuple[list[float], list[float]]:
    """The CPU-seconds of a batch, and the seconds that one of twenty takes, in each run."""
    cpu, seconds = [], []
    for _ in range(_RUNS):
        costs = []
        for _ in range(_BATCHES // _RUNS):
            lake.tell(lake.shop.batch())
            with cost(lake.folder) as spent:
                lake.silver()
            costs.append(spent)
        cpu.append(sum(one.cpu for one in costs) / len(costs))
        seconds.append(sorted(one.wall for one in costs)[len(costs) * 95 // 100])
    return cpu, seconds


def _jvm() -> Iterator[Measure]:
    """What a driver costs, fresh and warm, with other options of its JVM."""
    with scratch() as folder:
        archive = folder / "classes.jsa"
        _driver(f"{local_spark.JAVA_OPTIONS} -XX:ArchiveClassesAtExit={archive}", batches=_FIRST)
        ours = _driver(local_spark.JAVA_OPTIONS)
        others = {
            name: _driver(options + (str(archive) if name == _ARCHIVE else ""))
            for name, options in _JVM.items()
        }
    print(flush=True)
    for what in ours:
        peers = {name: median(found[what]) for name, found in others.items()}
        yield Measure(f"a driver, {what}", "CPU-s", ours[what], peers)


def _driver(options: str, batches: int = _LATER[-1]) -> dict[str, list[float]]:
    print(f"\r  {options[-60:]:60}", end="", flush=True)
    command = [sys.executable, "-m", "benchmarks.settings", options, str(batches)]
    told = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603
    found: dict[str, list[float]] = json.loads(told)
    return found


def driver(options: str, batches: int) -> dict[str, list[float]]:
    """The CPU-seconds of a driver's start, of its first batches, and of one when it is warm."""
    spark = local_spark.session("settings", memory="1536m", java=options)
    started, spent = cpu_so_far(), []
    with with_history(spark, _HISTORY) as lake:
        for _ in range(batches):
            lake.tell(lake.shop.batch())
            began = cpu_so_far()
            lake.silver()
            lake.gold()
            spent.append(cpu_so_far() - began)
    spark.stop()
    parts = (spent[begin : begin + _EACH] for begin in range(*_LATER, _EACH))
    return {
        "its start": [started],
        f"its first {_FIRST} batches through gold": [sum(spent[:_FIRST])],
        f"a batch through gold after {_LATER[0]}": [median(part) for part in parts if part],
    }


@contextmanager
def _set(owner: Any, name: str, value: int) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


if __name__ == "__main__":
    print(json.dumps(driver(sys.argv[1], int(sys.argv[2]))))
