"""What a batch of 1,000 changes costs against a long history and against a short one.

Both lakehouses take batches in turn, in one warm JVM: at first such as touch the same in both, new orders and
new states of the last day's; then new states of orders of any age, which in a longer history belong to more
days and customers, and so touch more rows of gold: how many bytes each of them takes is told, too. A run is
one batch, of which silver and gold are measured apart. Of gold fewer are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import attrgetter

from pyspark.sql import SparkSession

from benchmarks.lake import Lake, with_history
from benchmarks.measure import Cost, Measure, cost

LONG, SHORT = 5_000_000, 20_000
_WARM_UP = 3
_RUNS = 30  # of silver: in so many each table's log gets a checkpoint, and files are joined twice or more
_GOLD_RUNS = 5


@dataclass
class _Costs:
    """What the batches of one lakehouse cost, by layer."""

    silver: list[Cost] = field(default_factory=list)
    gold: list[Cost] = field(default_factory=list)


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    with ExitStack() as stack:
        lakes = {rows: stack.enter_context(with_history(spark, rows)) for rows in (LONG, SHORT)}
        files = lakes[LONG].files("orders")
        yield Measure(f"files of orders, {LONG:,} rows of history", "files", [files], at_least=100)
        for kind, of_any_age in (("", False), (" of any age", True)):
            costs = _batches(lakes, of_any_age, warm_up=0 if kind else _WARM_UP)
            for layer in ("silver", "gold"):
                long, short = (getattr(costs[rows], layer) for rows in (LONG, SHORT))
                yield from _told(f"{layer}, 1,000 changes{kind}", long, short)


def _batches(lakes: dict[int, Lake], of_any_age: bool, warm_up: int) -> dict[int, _Costs]:
    costs = {rows: _Costs() for rows in lakes}
    for number in range(warm_up + _RUNS):
        print(f"\r  batch {number + 1} of {warm_up + _RUNS}", end="", flush=True)
        for rows, lake in lakes.items():
            lake.tell(lake.shop.batch(of_any_age=of_any_age))
            with cost(lake.folder) as silver:
                lake.silver()
            if number >= warm_up:
                costs[rows].silver.append(silver)
            if number < warm_up + _GOLD_RUNS:
                with cost(lake.folder) as gold:
                    lake.gold()
                if number >= warm_up:
                    costs[rows].gold.append(gold)
    print(flush=True)
    for lake in lakes.values():
        lake.gold()
        lake.check()
    return costs


def _told(name: str, long: list[Cost], short: list[Cost]) -> Iterator[Measure]:
    for what, unit, most in (
        ("cpu", "CPU-s", 1.5),
        ("wall", "s", None),
        ("data", "bytes", 1.2),
        ("data_per_row", "bytes", None),
        ("log", "bytes", None),
    ):
        of, called = attrgetter(what), what.replace("_", " ")
        for rows, costs in ((LONG, long), (SHORT, short)):
            yield Measure(f"{name}: {called}, {rows:,} rows", unit, [of(one) for one in costs])
        ratios = [of(one) / of(other) for one, other in zip(long, short, strict=True)]
        yield Measure(f"{name}: {called}, long to short", "ratio", ratios, at_most=most)
        whole = sum(map(of, long)) / sum(map(of, short))  # upkeep falls into other runs on either side
        yield Measure(f"{name}: {called} of all runs, long to short", "ratio", [whole], at_most=most)
    for rows, costs in ((LONG, long), (SHORT, short)):
        yield Measure(f"{name}: files rewritten, {rows:,} rows", "files", [one.rewritten for one in costs])
