"""Killed between any two commits and started again, the tables are the same; every part is the real one
but Debezium, whose records the test writes to Kafka, some of them twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dying
import pytest
from chain import Chain, changes
from lakehouse import pipeline

pytestmark = pytest.mark.slow


def die(chain: Chain, point: str) -> None:
    runner = [sys.executable, dying.__file__, str(chain.settings_file), point]
    ended = subprocess.run(runner, env=chain.environment, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, f"died at: {point}\n"), ended.stderr


def test_killed_in_each_layer_one_after_another(chain: Chain) -> None:
    """Where most would be lost or doubled; each starts with what the one before left behind."""
    events = changes(1, 150)
    for number, point in enumerate(
        (
            "bronze: committed, Spark's batch is not",
            "silver: committed, the heads are not",
            "gold: committed",
        )
    ):
        chain.send(events[max(0, 50 * number - 20) : 50 * (number + 1)])  # Debezium, too, started again
        die(chain, point)
    chain.run()
    chain.check()


@pytest.mark.long
@pytest.mark.parametrize("point", dying.POINTS)
def test_killed_at(chain: Chain, point: str) -> None:
    events = changes(list(dying.POINTS).index(point), 150)
    for begin in (0, 30):  # gold makes its partial aggregates when it is refreshed for the second time
        chain.send(events[begin : begin + 30])
        chain.run()
    chain.send(events[60:110])
    die(chain, point)
    chain.send(events[90:])
    chain.run()
    chain.check()


def test_without_its_jvm_the_process_ends(chain: Chain) -> None:
    """So that it is started again, rather than try for ever what cannot succeed any more."""
    program = Path(pipeline.__file__).parents[1] / "main.py"
    words = [sys.executable, str(program), "pipeline", "--config", str(chain.settings_file)]
    with subprocess.Popen(words, env=chain.environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while not chain.config.status_file.exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
            (jvm,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(jvm), signal.SIGKILL)
            assert process.wait(timeout=60) == 1
        finally:
            process.kill()


def test_state_and_checkpoints_are_lost(chain: Chain) -> None:
    events = changes(50, 100)
    chain.send(events[:60])
    chain.run()
    shutil.rmtree(chain.config.state)
    chain.send(events[40:])
    chain.run()
    chain.check()
