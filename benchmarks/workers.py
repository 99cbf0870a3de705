"""What more workers are good for: a gold model computed anew over a long history, as a rebuild does it.

Spark runs as a cluster of processes on this machine, a core and a gigabyte each, so beyond the machine's
cores more of them cannot help. An exponent of -1 means that twice as many take half of the time.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

from lakehouse import models
from lakehouse.layout import CURRENT
from pyspark.sql import SparkSession

from benchmarks.lake import with_history
from benchmarks.measure import Measure
from benchmarks.shop import TABLES
from tools import local_spark

_ROOT = Path(__file__).resolve().parents[1]
_WORKERS = (1, 2, 4)
_HISTORY = 5_000_000
_MODEL = "sales_by_product_day"
_WARM_UP, _RUNS = 3, 5


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    medians = {}
    with with_history(spark, _HISTORY) as lake:
        paths = {table.short_name: lake.config.silver_path(table) for table in TABLES}
        for number in _WORKERS:
            print(f"\r  {number} workers", end="", flush=True)
            command = [sys.executable, "-m", "benchmarks.workers", str(number), json.dumps(paths)]
            told = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603
            runs = json.loads(told)
            medians[number] = median(runs)
            yield Measure(f"{_MODEL} over {_HISTORY:,} rows, {number} workers", "s", runs)
    print(flush=True)
    for before, after in pairwise(_WORKERS):
        exponent = math.log(medians[after] / medians[before]) / math.log(after / before)
        yield Measure(f"{_MODEL}, from {before} to {after} workers", "exponent", [exponent])


def compute(workers: int, paths: dict[str, str]) -> list[float]:
    """The seconds that each run takes with so many workers."""
    spark = local_spark.session(
        "workers", memory="1g", master=f"local-cluster[{workers},1,1024]", cores=workers
    )
    model = next(one for one in models.load_all(_ROOT / "files" / "gold") if one.name == _MODEL)
    seconds = []
    for _ in range(_WARM_UP + _RUNS):
        began = time.monotonic()
        current = {
            table.short_name: spark.read.format("delta")
            .load(paths[table.short_name])
            .where(CURRENT)
            .select(*table.column_names)
            for table in TABLES
        }
        models.result(spark, model, current).write.format("noop").mode("overwrite").save()
        seconds.append(time.monotonic() - began)
    spark.stop()
    return seconds[_WARM_UP:]


if __name__ == "__main__":
    print(json.dumps(compute(int(sys.argv[1]), json.loads(sys.argv[2]))))
