"""What 1,000 changes cost silver when they are spread over more tables.

The tables are like orders, each with its share of a history. An exponent of 1 means that ten times as many
tables cost ten times as much.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import orjson
import pyarrow as pa
from lakehouse import bronze, delta_io, pipeline
from lakehouse.config import Config
from lakehouse.delta_log import TableLog
from lakehouse.envelope import RECORDS, Envelopes
from lakehouse.silver import Silver
from lakehouse.status import Status
from pyspark.sql import SparkSession

from benchmarks.lake import Lake, WrongResultError, scratch
from benchmarks.measure import Measure, cost
from benchmarks.shop import EPOCH, Change, Shop

_TABLES = (3, 10, 30)
_HISTORY = 30_000
_WARM_UP, _RUNS = 3, 5


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    medians = []
    for number in _TABLES:
        print(f"\r  {number} tables", end="", flush=True)
        with scratch() as folder:
            spent = _batches(spark, folder, number)
        medians.append(median(spent))
        yield Measure(f"silver, 1,000 changes over {number} tables", "CPU-s", spent)
    print(flush=True)
    exponent = math.log(medians[-1] / medians[0]) / math.log(_TABLES[-1] / _TABLES[0])
    yield Measure(f"silver, from {_TABLES[0]} to {_TABLES[-1]} tables", "exponent", [exponent])


def _batches(spark: SparkSession, folder: Path, number: int) -> list[float]:
    """The CPU-seconds of batches."""
    like = Lake(spark, folder)
    orders = like.config.table("orders")
    tables = tuple(replace(orders, name=f"public.orders_{place:02}") for place in range(number))
    config = replace(like.config, storage=f"file://{folder}/many", tables=tables, state=folder / "many-state")
    pipeline.create_tables(spark, config)
    log, shop = TableLog(spark, config.bronze_path), Shop()
    silver = Silver(spark, config, Status(("silver",)))
    spent = []
    for batch in range(1 + _WARM_UP + _RUNS):
        changes = shop.batch(of_any_age=True) if batch else shop.history(_HISTORY)
        log.append(_events(shop, changes, config), bronze.STATS, {"writer": "benchmark"}, log.version)
        with cost(folder) as one:
            if not silver.step(threading.Event()):
                raise WrongResultError("silver failed")
            delta_io.finish_upkeep()
        if batch > _WARM_UP:
            spent.append(one.cpu)
    _check(spark, config, shop)
    return spent


def _events(shop: Shop, changes: Iterable[Change], config: Config) -> pa.Table:
    """Changes of orders as such of the tables, shared out by the key."""
    told = shop.records(change for change in changes if change[0] == "orders").to_pydict()
    to = [config.tables[orjson.loads(key)["order_id"] % len(config.tables)] for key in told["key"]]
    told["topic"] = [config.kafka.topic(table) for table in to]
    told["value"] = [
        value.replace(b'"table":"orders"', f'"table":"{table.short_name}"'.encode())
        for value, table in zip(told["value"], to, strict=True)
    ]
    records = pa.table(told, schema=RECORDS)
    return Envelopes(config.topics).bronze_rows(records, dict.fromkeys(config.topics, EPOCH), 0)


def _check(spark: SparkSession, config: Config, shop: Shop) -> None:
    """Sees whether silver has a version for each change."""
    paths = [config.silver_path(table) for table in config.tables]
    rows = sum(spark.read.format("delta").load(path).count() for path in paths)
    if rows != shop.offsets["orders"]:
        raise WrongResultError(f"silver has {rows} versions of {shop.offsets['orders']}")
