"""Thousands of small batches leave few files and a short log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from chain import Chain, changes
from deliveries import TABLE
from lakehouse import pipeline
from lakehouse.delta_io import Upkeep
from lakehouse.status import LAYERS, Status
from pyspark.sql import SparkSession

from tests.examples import times
from tools import local_layers
from tools.local_kafka import Broker

pytestmark = [pytest.mark.slow, pytest.mark.long]

BATCHES = times(2000)
KEPT = 60
"""Seconds; versions go by whole minutes."""


@pytest.fixture
def chain(spark: SparkSession, kafka: Broker, tmp_path: Path) -> Iterator[Chain]:
    setting = "spark.databricks.delta.properties.defaults.logRetentionDuration"
    before = spark.conf.get(setting)
    spark.conf.set(setting, f"interval {KEPT} seconds")
    yield Chain(spark, kafka, tmp_path, triggers=dict.fromkeys(LAYERS, 0.01))
    assert before is not None
    spark.conf.set(setting, before)


def eventually(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, f"waited two minutes for {what}"
        time.sleep(0.02)


def test_files_stay_few_and_the_log_stays_short(spark: SparkSession, chain: Chain) -> None:
    most: Counter[str] = Counter()
    sent: list[float] = []
    events = changes(1, 2 * BATCHES)
    pipeline.create_tables(spark, chain.config)
    with local_layers.running(spark, chain.config, Status(LAYERS), LAYERS) as status:
        for number in range(BATCHES):
            before = batches(status)
            chain.send(events[2 * number : 2 * number + 2])
            sent.append(time.time())
            eventually("silver", partial(has_done, status, before + 1))
            told = status.as_json()
            assert told["state"] != "failed", told
            most |= Counter(told["files"])
            if number % 100 == 99:
                print(f"{number + 1} of {BATCHES} batches: {dict(most)}", flush=True)
        for layer in LAYERS:
            eventually(layer, partial(has, status, layer, sent[-1]))
        told = status.as_json()
    chain.check()
    assert has_done(status, BATCHES)
    assert all(layer["restarts"] == 0 for layer in told["layers"].values())
    assert sorted(most) == ["bronze.change_events", "gold.things_by_status", "silver.things"]
    # A batch of silver leaves two files, and the joined ones stay beside those that came since.
    assert max(most.values()) <= 2 * Upkeep.FILES, most
    young = sum(moment > sent[-1] - KEPT - 60 for moment in sent)
    for path in (chain.config.bronze_path, chain.config.silver_path(TABLE)):
        log = Path(path.removeprefix("file://")) / "_delta_log"
        assert len(list(log.glob("*.json"))) <= young + 2 * Upkeep.VERSIONS


def batches(status: Status) -> int:
    """How many silver has done."""
    done: int = status.as_json()["layers"]["silver"]["batches"]
    return done


def has_done(status: Status, number: int) -> bool:
    """Whether silver has done so many batches."""
    return batches(status) >= number


def has(status: Status, layer: str, moment: float) -> bool:
    """Whether a layer has what was sent by a moment."""
    told = status.as_json()
    freshness = told["layers"][layer]["freshness_seconds"]
    return freshness is not None and told["written_at"] - freshness > moment
