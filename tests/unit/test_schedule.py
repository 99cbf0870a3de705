"""A batch of silver and gold: asking for one, and when it is over."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lakehouse import schedule

NOW = 1_795_000_000.0


def status(silver_age: float | None, gold_age: float | None, written_at: float = NOW) -> dict[str, Any]:
    ages = {"bronze": 1.0, "silver": silver_age, "gold": gold_age}
    layers = {
        name: {"state": "running", "error": None, "freshness_seconds": age} for name, age in ages.items()
    }
    return {"written_at": written_at, "layers": layers}


@pytest.mark.parametrize(
    ("ages", "over"),
    [((5.0, 5.0), True), ((5.0, 90.0), False), ((90.0, 5.0), False), ((None, None), False)],
)
def test_it_is_over_when_both_layers_have_what_was_committed_before_it(
    ages: tuple[float | None, float | None], over: bool
) -> None:
    assert schedule.passed(status(*ages), NOW - 10, NOW) == over


def test_a_layer_that_fails_ends_the_wait_with_its_reason() -> None:
    said = status(5.0, 90.0)
    said["layers"]["gold"].update(state="failed", error={"at": NOW - 5, "message": "ValueError: x"})
    with pytest.raises(schedule.ScheduleError, match="gold failed: ValueError: x"):
        schedule.passed(said, NOW - 10, NOW)


def test_a_failure_before_the_request_says_nothing_about_it() -> None:
    said = status(5.0, 90.0)
    said["layers"]["gold"].update(state="failed", error={"at": NOW - 15, "message": "ValueError: x"})
    assert not schedule.passed(said, NOW - 10, NOW)


def test_a_pipeline_that_went_silent_is_told() -> None:
    with pytest.raises(schedule.ScheduleError, match="does not run"):
        schedule.passed(status(5.0, 5.0, written_at=NOW - 60), NOW - 70, NOW)


def test_without_a_pipeline_there_is_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(schedule.ScheduleError, match="does not run on this host"):
        schedule.ask(tmp_path / "no_such_folder" / "status.json", timeout=1)


def test_who_asks_waits_for_the_answer(tmp_path: Path) -> None:
    status_file = tmp_path / "status.json"

    def answer() -> None:
        deadline = time.monotonic() + 30
        while not schedule.taken(status_file):
            assert time.monotonic() < deadline
        written = tmp_path / "new"
        written.write_text(json.dumps(status(0.0, 0.0, written_at=time.time())))
        written.replace(status_file)  # as Status.write does: nobody reads half of it

    pipeline = threading.Thread(target=answer)
    pipeline.start()
    assert schedule.ask(status_file, timeout=30) > 0
    pipeline.join()
    assert not schedule.taken(status_file)  # a request is taken once
