"""What the history of orders costs us, and what it costs others: in bulk, and 1,000 changes at a time.

All are given the same events in one process, one after the other, each on tables of its own. What a
contender's table says is compared with the events; one that says something else is marked as wrong.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import orjson
import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.lake import Lake, scratch
from benchmarks.measure import Cost, Measure, cost
from benchmarks.peers import LatestPerKey, Peer, PolarsDeltaRs, Versions
from benchmarks.shop import Change, Shop, bronze_rows

HISTORY = 200_000
_RUNS, _WARM_UP = 5, 2


class Ours:
    """Silver, on its own."""

    name = "ours"

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Begin a lakehouse in a folder; its silver runs before there are events, as the service does."""
        self._spark = spark
        self._lake = Lake(spark, folder)
        self._lake.silver()

    def take(self, bronze: pa.Table) -> None:
        """A step of silver."""
        self._lake.tell_rows(bronze)
        self._lake.silver()

    def seen(self) -> Versions:
        """What its table says."""
        path = self._lake.config.silver_path(self._lake.config.table("orders"))
        rows = self._spark.read.format("delta").load(path)
        told = rows.selectExpr(
            "order_id", "status", "valid_from_position.offset AS began", "valid_to_position.offset AS ended"
        )
        return Counter((row.order_id, row.status, row.began, row.ended) for row in told.collect())


CONTENDERS: dict[str, Callable[[SparkSession, Path], Peer]] = {
    Ours.name: Ours,
    PolarsDeltaRs.name: lambda _, folder: PolarsDeltaRs(folder),
    LatestPerKey.name: LatestPerKey,
}


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    shop = Shop()
    events = _orders(shop, shop.history(HISTORY))
    bulk: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    for number in range(_RUNS):
        print(f"\r  bulk {number + 1} of {_RUNS}", end="", flush=True)
        for name, begin in CONTENDERS.items():
            with scratch() as folder:
                contender = begin(spark, folder)
                gc.collect()
                with cost(folder) as spent:
                    contender.take(events)
                bulk[name].append(spent)
    print(flush=True)
    batches, wrong = _batches(spark, shop, events)
    rates = {name: [events.num_rows / one.cpu for one in costs] for name, costs in bulk.items()}
    yield _told("history in bulk", "rows/CPU-s", rates, wrong, at_least=80_000)
    polars = rates[PolarsDeltaRs.name]
    ratios = [ours / theirs for ours, theirs in zip(rates[Ours.name], polars, strict=True)]
    yield Measure("history in bulk, ours to polars + delta-rs", "ratio", ratios, at_least=0.5)
    spent_cpu = {name: [one.cpu for one in costs] for name, costs in batches.items()}
    yield _told(f"1,000 changes on {HISTORY:,} versions", "CPU-s", spent_cpu, wrong, at_most=0.3)
    written = {name: [float(one.data + one.log) for one in costs] for name, costs in batches.items()}
    yield _told(f"1,000 changes on {HISTORY:,} versions, written", "bytes", written, wrong)


def _batches(spark: SparkSession, shop: Shop, events: pa.Table) -> tuple[dict[str, list[Cost]], set[str]]:
    """What each batch cost each contender, and who told something else than the events."""
    told = [events]
    costs: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    with ExitStack() as stack:
        folders = {name: stack.enter_context(scratch()) for name in CONTENDERS}
        running = {name: begin(spark, folders[name]) for name, begin in CONTENDERS.items()}
        for contender in running.values():
            contender.take(events)
        for number in range(_WARM_UP + _RUNS):
            print(f"\r  batch {number + 1} of {_WARM_UP + _RUNS}", end="", flush=True)
            told.append(_orders(shop, shop.batch(of_any_age=True)))
            for name, contender in running.items():
                gc.collect()
                with cost(folders[name]) as spent:
                    contender.take(told[-1])
                if number >= _WARM_UP:
                    costs[name].append(spent)
        print(flush=True)
        right = _expected(pa.concat_tables(told))
        return costs, {name for name, contender in running.items() if contender.seen() != right}


def _orders(shop: Shop, changes: Iterator[Change]) -> pa.Table:
    return bronze_rows(shop.records(change for change in changes if change[0] == "orders"))


def _expected(events: pa.Table) -> Versions:
    """The versions that the events make: each is one, until the next of its order."""
    versions: Versions = Counter()
    open_: dict[int, tuple[str, int]] = {}
    for offset, value in zip(events["offset"].to_pylist(), events["value"].to_pylist(), strict=True):
        row = orjson.loads(value)["after"]
        if (before := open_.get(row["order_id"])) is not None:
            versions[row["order_id"], before[0], before[1], offset] += 1
        open_[row["order_id"]] = (row["status"], offset)
    for order, (status, began) in open_.items():
        versions[order, status, began, None] += 1
    return versions


def _told(
    name: str,
    unit: str,
    runs: dict[str, list[float]],
    wrong: set[str],
    at_least: float | None = None,
    at_most: float | None = None,
) -> Measure:
    peers = {
        peer + (" (wrong)" if peer in wrong else ""): median(figures)
        for peer, figures in runs.items()
        if peer != Ours.name
    }
    shown = name + (" (wrong)" if Ours.name in wrong else "")
    return Measure(shown, unit, runs[Ours.name], peers, at_most=at_most, at_least=at_least)
