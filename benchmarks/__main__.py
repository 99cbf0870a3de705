"""Runs the benchmarks: `make bench`.

Each is a module with `run(spark)`, which gives measures. They are told on the screen, in
build/bench/results.json as `measures`, and plotted in build/bench/results.html; those of a benchmark that
is done also when a later one fails.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks import chain, cost_of_history, growth, lab, scd2, settings, workers
from benchmarks.measure import Measure, table
from benchmarks.page import page
from tools import local_spark

BENCHMARKS = (scd2, chain, cost_of_history, growth, workers, settings, lab)
_RESULTS = Path(__file__).resolve().parents[1] / "build" / "bench" / "results.json"
_PLOTS = _RESULTS.with_suffix(".html")


def main() -> None:
    """Runs all."""
    began = time.monotonic()
    lab.refuse_running()
    spark = local_spark.session("bench", memory="1536m")
    measures: list[Measure] = []
    for benchmark in BENCHMARKS:
        print((benchmark.__doc__ or "").partition("\n")[0], flush=True)
        measures += benchmark.run(spark)
        _write(measures)
    spark.stop()
    print(f"\n{table(measures)}\n\n{_RESULTS}, {_PLOTS}, after {time.monotonic() - began:.0f} s")


def _write(measures: list[Measure]) -> None:
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    told = {"measures": [measure.as_json() for measure in measures]}
    _RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _PLOTS.write_text(page(measures), encoding="utf-8")


if __name__ == "__main__":
    main()
