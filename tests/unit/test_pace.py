"""When a layer works: at once when something is new, at its trigger's pace, never when nothing changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from lakehouse import pace
from lakehouse.status import Status


class Steps:
    """The steps that silver made, and when; `complete` is what the next ones say."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.complete = True

    def __call__(self, stop: threading.Event) -> bool:
        self.at.append(time.monotonic())
        return self.complete


@contextmanager
def following(status: Status, steps: Steps, trigger: float) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=pace.follow, args=(status, "silver", trigger, steps, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def eventually(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def freshness(status: Status) -> float | None:
    age: float | None = status.as_json()["layers"]["silver"]["freshness_seconds"]
    return age


def test_a_change_is_followed_at_once_and_nothing_else_is() -> None:
    status, steps = Status(), Steps()
    with following(status, steps, trigger=0.0):
        eventually(lambda: len(steps.at) == 1)  # what came while nobody was there
        status.complete("bronze", time.time() - 100)
        eventually(lambda: (freshness(status) or 0) >= 100)
        status.complete("bronze", time.time() - 1)
        eventually(lambda: (freshness(status) or 100) < 50)  # as new as bronze, without a step
        assert len(steps.at) == 1
        status.changed("bronze")
        eventually(lambda: len(steps.at) == 2)
    assert len(steps.at) == 2


def test_a_change_is_not_waited_for_longer_than_it_takes_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_LOOK_EVERY", 60.0)
    status, steps = Status(), Steps()
    with following(status, steps, trigger=0.0):
        eventually(lambda: len(steps.at) == 1)
        status.changed("bronze")
        eventually(lambda: len(steps.at) == 2)
        status.changed("bronze")
        eventually(lambda: len(steps.at) == 3)
        threading.Timer(0.5, status.changed, ["bronze"]).start()  # so that it sees that it is to stop


def test_changes_that_come_all_the_time_are_followed_at_the_triggers_pace() -> None:
    status, steps = Status(), Steps()
    with following(status, steps, trigger=0.5):
        while len(steps.at) < 4:
            status.changed("bronze")
            time.sleep(0.01)
    assert all(later - before >= 0.5 for before, later in zip(steps.at, steps.at[1:], strict=False))


def test_what_is_left_to_do_is_tried_again_without_a_change_and_the_layer_is_not_complete() -> None:
    status, steps = Status(), Steps()
    steps.complete = False
    with following(status, steps, trigger=0.1):
        status.complete("bronze", time.time())
        eventually(lambda: len(steps.at) > 2)
        assert freshness(status) is None
        steps.complete = True
        eventually(lambda: freshness(status) is not None)


def test_a_layer_whose_predecessor_runs_elsewhere_looks_at_each_trigger() -> None:
    status, steps = Status(("silver",)), Steps()
    with following(status, steps, trigger=0.1):
        eventually(lambda: len(steps.at) > 2)
        eventually(lambda: freshness(status) is not None)
