"""Silver and gold on a schedule, by the program that the units start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import main
import pytest
from chain import Chain, changes
from pyspark.sql import SparkSession

from tools.local_kafka import Broker


@pytest.fixture
def scheduled(spark: SparkSession, kafka: Broker, tmp_path: Path) -> Chain:
    return Chain(spark, kafka, tmp_path, scheduled=True, triggers={"bronze": 0.2})


def job(chain: Chain, name: str) -> list[str]:
    return [sys.executable, main.__file__, name, "--config", str(chain.settings_file)]


@pytest.fixture
def pipeline(scheduled: Chain, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(job(scheduled, "pipeline"), env=scheduled.environment, stderr=log)
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def status(chain: Chain) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(chain.config.status_file.read_text())
    return said


def await_(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def batches(chain: Chain) -> dict[str, int]:
    return {name: layer["batches"] for name, layer in status(chain)["layers"].items()}


def test_layers_work_when_they_are_asked_to_and_tell_the_same(
    scheduled: Chain, pipeline: subprocess.Popen[bytes]
) -> None:
    events = changes(3, 150)
    scheduled.send(events[:60])
    await_(scheduled.config.status_file.exists)
    subprocess.run(job(scheduled, "batch"), env=scheduled.environment, check=True, timeout=120)
    scheduled.check()

    before = batches(scheduled)
    scheduled.send(events[60:])
    await_(lambda: batches(scheduled)["bronze"] > before["bronze"])
    assert batches(scheduled) == {**before, "bronze": batches(scheduled)["bronze"]}
    subprocess.run(job(scheduled, "batch"), env=scheduled.environment, check=True, timeout=120)
    scheduled.check()

    pipeline.send_signal(signal.SIGTERM)
    assert pipeline.wait(60) == 0
