"""How long a committed row takes to a layer: measured on real rows, over the last minutes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, Row
from pyspark.sql import functions as F

_POINTS = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]


def commit_times(source_ts: Column, counts: Column) -> Column:
    """An aggregate: ten quantiles of the commit times, in milliseconds, of the rows that count."""
    milliseconds = F.when(counts, F.unix_millis(source_ts))
    quantiles = F.percentile_approx(milliseconds, _POINTS, 1000)
    return F.struct(F.count(milliseconds).alias("rows"), quantiles.alias("quantiles"))


@dataclass(frozen=True)
class Sample:
    """The same, computed here."""

    rows: int
    quantiles: list[float]


def sample(milliseconds: Sequence[float]) -> Sample:
    """Ten quantiles of the commit times of rows."""
    ordered = sorted(milliseconds)
    return Sample(len(ordered), [ordered[int(point * len(ordered))] for point in _POINTS] if ordered else [])


@dataclass(frozen=True)
class Quantiles:
    """Latencies in seconds."""

    p50: float
    p95: float
    rows: int


class LatencyWindow:
    """The latencies of the last minutes."""

    def __init__(self, seconds: float = 300) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float, float]] = deque()  # when, weight, latency

    def add(self, commit_times: Iterable[Row | Sample], now: float | None = None) -> None:
        """Notes that rows with these commit times have just arrived."""
        now = time.time() if now is None else now
        for row in commit_times:
            for quantile in row.quantiles or []:
                self._samples.append((now, row.rows / len(_POINTS), now - quantile / 1000))

    def quantiles(self, now: float | None = None) -> Quantiles | None:
        """Median and 95th percentile of the window; None when nothing arrived in it."""
        now = time.time() if now is None else now
        while self._samples and self._samples[0][0] < now - self._seconds:
            self._samples.popleft()
        if not self._samples:
            return None
        ordered = sorted((latency, weight) for _, weight, latency in self._samples)
        total = sum(weight for _, weight in ordered)
        return Quantiles(_at(ordered, total * 0.5), _at(ordered, total * 0.95), round(total))


def _at(ordered: list[tuple[float, float]], share: float) -> float:
    passed = 0.0
    for latency, weight in ordered:
        passed += weight
        if passed >= share:
            return round(latency, 3)
    return round(ordered[-1][0], 3)
