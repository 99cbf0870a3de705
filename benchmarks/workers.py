"""What reads whole tables, with one to four workers of one core: the gold models, each computed in full.

Each number of workers is a cluster of its own in a process of its own. What more workers give ends where
the machine has no more cores; the CPU-seconds tell what they take besides.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from lakehouse import models
from lakehouse.layout import CURRENT
from pyspark.sql import SparkSession

from benchmarks.lake import Lake, with_history
from benchmarks.measure import Measure, cost
from tools import local_spark

_HISTORY = 5_000_000
_WORKERS = (1, 2, 3, 4)
_WARM_UP, _RUNS = 1, 5


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    medians = []
    with with_history(spark, _HISTORY) as lake:
        for workers in _WORKERS:
            print(f"\r  {workers} workers", end="", flush=True)
            command = [sys.executable, "-m", __name__, str(workers), str(lake.folder)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603
            told = json.loads(done.stdout)
            name = f"all gold models in full, {_HISTORY:,} rows, {workers} workers"
            yield Measure(f"{name}: wall", "s", told["wall"])
            yield Measure(f"{name}: cpu", "CPU-s", told["cpu"])
            medians.append(median(told["wall"]))
    print(flush=True)
    exponent = math.log(medians[-1] / medians[0]) / math.log(_WORKERS[-1] / _WORKERS[0])
    yield Measure(f"from {_WORKERS[0]} to {_WORKERS[-1]} workers: wall", "exponent", [exponent])


def _measure(workers: int, folder: Path) -> dict[str, list[float]]:
    """The costs of computing all models, by run."""
    spark = local_spark.session("workers", memory="1536m", master=f"local-cluster[{workers},1,1024]")
    lake = Lake(spark, folder)
    current = {}
    for table in lake.config.tables:
        rows = spark.read.format("delta").load(lake.config.silver_path(table))
        current[table.short_name] = rows.where(CURRENT).select(*table.column_names)
    runs = []
    for _ in range(_WARM_UP + _RUNS):
        with cost(folder) as one:
            for model in models.load_all(lake.config.gold_models):
                models.result(spark, model, current).write.format("noop").mode("overwrite").save()
        runs.append(one)
    spark.stop()
    return {what: [getattr(one, what) for one in runs[_WARM_UP:]] for what in ("wall", "cpu")}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), Path(sys.argv[2]))))
