"""The way from Kafka to gold under traffic: how late changes come, and how many a second are too many.

The layers run as in the service, without pause between two batches. Traffic and Kafka share the two cores
with them. A run is a part of the time that a rate is kept up; the age of a change counts from its commit.
At the end there is a backlog: for bronze alone, and one of millions for all layers, as after a long stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from lakehouse.bronze import Bronze
from lakehouse.config import Config, Kafka, Triggers
from lakehouse.latency import LatencyWindow, Quantiles, Sample
from lakehouse.status import LAYERS, Status
from pyspark.sql import Row, SparkSession

from benchmarks.lake import Lake, WrongResultError, scratch, with_history
from benchmarks.measure import Measure, cost, memory
from benchmarks.shop import TABLES, TOPIC_PREFIX, Shop
from benchmarks.traffic import Traffic, told, traffic
from tools import local_layers
from tools.local_kafka import Broker, running

_HISTORY = 20_000
_BACKLOG = 200_000
_LONG_BACKLOG = 2_000_000
_AT_ONCE = 50_000
_BULK_RUNS = 5
_TO_BRONZE, _TO_GOLD = 200, 100
_RATES = (500, 1000, 2000, 4000)
_RUNS, _SECONDS = 5, 12.0
_KEEPS_UP = 6.0
"""Seconds that gold may need for the rest at the end. One that falls behind by a tenth needs as many."""


class Recorded(Status):
    """A status that also keeps the ages of a run."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        super().__init__(layers)
        self.begin()

    def begin(self) -> None:
        """Forgets the ages so far."""
        self._run = {name: LatencyWindow(seconds=float("inf")) for name in LAYERS}

    def batch(self, layer: str, seconds: float, rows: int, commit_times: Iterable[Row | Sample] = ()) -> None:
        """Keeps the ages of a batch's changes."""
        commit_times = list(commit_times)
        super().batch(layer, seconds, rows, commit_times)
        self._run[layer].add(commit_times)

    def ages(self, layer: str) -> Quantiles | None:
        """The ages of what came to the layer since the run began; None: nothing came."""
        return self._run[layer].quantiles()

    def wait_for(self, layer: str, moment: float, timeout: float = 600) -> float:
        """Waits until a layer has what was committed by a moment; gives the seconds since then.

        Raises:
            WrongResultError: It does not get there within so many seconds.
        """
        deadline = time.monotonic() + timeout
        while self._as_of.get(layer, 0.0) < moment:
            if self._state() == "failed" or time.monotonic() > deadline:
                raise WrongResultError(f"{layer} does not come on: {self.as_json()}")
            time.sleep(0.05)
        return time.time() - moment


def run(spark: SparkSession) -> Iterator[Measure]:
    """Measures."""
    with scratch() as folder, running(folder) as broker:
        for table in TABLES:
            broker.create_topic(f"{TOPIC_PREFIX}.{table.name}")
        with with_history(spark, _HISTORY) as lake, traffic(broker.address, lake.shop) as source:
            config = replace(
                lake.config,
                kafka=Kafka(broker.address, TOPIC_PREFIX),
                triggers=Triggers(bronze=0.0, silver=0.0, gold=0.0),
            )
            yield from _to_bronze(spark, config, source)
            yield from _to_gold(spark, config, source, broker)
            lake.shop = source.shop
            lake.check()
    yield bulk(spark)
    yield from _catch_up(spark)


def _to_bronze(spark: SparkSession, config: Config, source: Traffic) -> Iterator[Measure]:
    with local_layers.running(spark, config, Recorded(("bronze",)), ("bronze",)) as status:
        _warm_up(status, source, _TO_BRONZE, "bronze")
        ages, _ = _at(status, source, _TO_BRONZE)
    yield from _ages(f"commit to bronze, alone, {_TO_BRONZE} changes/s", ages["bronze"], (0.5, 0.7))


def _to_gold(spark: SparkSession, config: Config, source: Traffic, broker: Broker) -> Iterator[Measure]:
    kept_up = 0
    with local_layers.running(spark, config, Recorded(LAYERS), LAYERS) as status:
        _warm_up(status, source, _TO_GOLD, "gold")
        for rate in (_TO_GOLD, *_RATES):
            with cost(config.state, {broker.process}) as spent:
                ages, rest = _at(status, source, rate)
            for layer in LAYERS:
                goals = (1.5, 2.5) if (layer, rate) == ("gold", _TO_GOLD) else (None, None)
                yield from _ages(f"commit to {layer}, {rate} changes/s", ages[layer], goals)
            yield Measure(f"rest at the end, {rate} changes/s", "s", [rest])
            yield Measure(f"all layers and the traffic, {rate} changes/s", "cores", [spent.cpu / spent.wall])
            if rest > _KEEPS_UP:
                break
            kept_up = rate
    yield Measure("sustained through gold", "changes/s", [kept_up], at_least=2000)


def _warm_up(status: Recorded, source: Traffic, rate: int, last: str) -> None:
    source.shop = source.start(rate, 2 * _SECONDS).result()
    status.wait_for(last, time.time())


def _at(status: Recorded, source: Traffic, rate: int) -> tuple[dict[str, list[Quantiles]], float]:
    """Keeps up a rate; gives the ages by layer and run, and how long the rest took when it ended."""
    print(f"\r  {rate} changes a second{'':10}", end="", flush=True)
    ages: dict[str, list[Quantiles]] = {layer: [] for layer in status.as_json()["layers"]}
    last = list(ages)[-1]
    sending = source.start(rate, _RUNS * _SECONDS)
    for number in range(_RUNS):
        status.begin()
        if number + 1 < _RUNS:
            time.sleep(_SECONDS)
        else:
            source.shop = sending.result()
            rest = status.wait_for(last, time.time())
        for layer, found in ages.items():
            if came := status.ages(layer):
                found.append(came)
    return ages, rest


def _ages(name: str, ages: list[Quantiles], goals: tuple[float | None, float | None]) -> Iterator[Measure]:
    yield Measure(f"{name}: p50", "s", [one.p50 for one in ages], at_most=goals[0])
    yield Measure(f"{name}: p95", "s", [one.p95 for one in ages], at_most=goals[1])


def at_trigger(spark: SparkSession, seconds: float) -> tuple[float, float]:
    """What looking for news every so many seconds costs, at 100 changes a second.

    Returns:
        The cores that all layers and the traffic take, and the median age of a change in gold in seconds.
    """
    with (
        scratch() as folder,
        running(folder) as broker,
        with_history(spark, _HISTORY) as lake,
        traffic(broker.address, lake.shop) as source,
    ):
        for table in TABLES:
            broker.create_topic(f"{TOPIC_PREFIX}.{table.name}")
        triggers = Triggers(bronze=seconds, silver=seconds, gold=seconds)
        config = replace(lake.config, kafka=Kafka(broker.address, TOPIC_PREFIX), triggers=triggers)
        with local_layers.running(spark, config, Recorded(LAYERS), LAYERS) as status:
            _warm_up(status, source, _TO_GOLD, "gold")
            status.begin()
            with cost(config.state, {broker.process}) as spent:
                source.start(_TO_GOLD, _RUNS * _SECONDS).result()
                status.wait_for("gold", time.time())
            ages = status.ages("gold")
    if ages is None:
        raise WrongResultError("nothing came to gold")
    return spent.cpu / spent.wall, ages.p50


def bulk(spark: SparkSession) -> Measure:
    """What a backlog costs bronze."""
    rates = []
    with scratch() as folder, running(folder) as broker:
        _fill(broker, Shop(), _BACKLOG)
        for number in range(_BULK_RUNS):
            print(f"\r  backlog {number + 1} of {_BULK_RUNS}{'':10}", end="", flush=True)
            with scratch() as place:
                lake = Lake(spark, place)
                config = replace(lake.config, kafka=Kafka(broker.address, TOPIC_PREFIX))
                bronze = Bronze(spark, config, Status(("bronze",)))
                with cost(place, {broker.process}) as spent:
                    bronze.run(threading.Event(), available_now=True)
                rows = spark.read.format("delta").load(config.bronze_path).count()
                if rows != _BACKLOG:
                    raise WrongResultError(f"bronze has {rows} of {_BACKLOG} events")
                rates.append(_BACKLOG / spent.cpu)
    print(flush=True)
    return Measure("bronze, a backlog", "rows/CPU-s", rates, at_least=95_000)


def _catch_up(spark: SparkSession) -> Iterator[Measure]:
    """How fast all layers take a backlog of millions."""
    with scratch() as folder, running(folder) as broker, scratch() as place:
        lake = Lake(spark, place)
        _fill(broker, lake.shop, _LONG_BACKLOG)
        config = replace(lake.config, kafka=Kafka(broker.address, TOPIC_PREFIX))
        print(f"\r  a backlog of {_LONG_BACKLOG:,} through gold", flush=True)
        with (
            cost(place, {broker.process}) as spent,
            memory({broker.process}) as taken,
            local_layers.running(spark, config, Recorded(LAYERS), LAYERS) as status,
        ):
            status.wait_for("gold", time.time(), timeout=1800)
        lake.check()
    what = f"a backlog of {_LONG_BACKLOG:,} changes through gold"
    yield Measure(what, "changes/s", [_LONG_BACKLOG / spent.wall])
    yield Measure(f"{what}: cpu", "rows/CPU-s", [_LONG_BACKLOG / spent.cpu])
    yield Measure(f"{what}: driver with its JVM, at most", "MB", [taken.most / 1e6])


def _fill(broker: Broker, shop: Shop, changes: int) -> None:
    """Sends the first so many changes of a shop's history."""
    for table in TABLES:
        broker.create_topic(f"{TOPIC_PREFIX}.{table.name}")
    history = islice(shop.history(changes), changes)
    while some := list(islice(history, _AT_ONCE)):
        records: dict[str, list[tuple[bytes, bytes]]] = {}
        for topic, key, value in told(shop, iter(some)):
            records.setdefault(topic, []).append((key, value))
        for topic, those in records.items():
            broker.send(topic, those)
