"""When a layer works: as soon as the layer before has changed something, at most at its trigger's pace.

The layers live in one application, so each hears from the one before; none asks the object store whether
there is something new. While nothing changes in the source, nothing is read or written there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lakehouse.status import Status

_LOOK_EVERY = 0.1  # seconds: whether it is to stop, and how far the layer before is


def follow(
    status: Status,
    layer: str,
    trigger: float,
    step: Callable[[threading.Event], bool],
    stop: threading.Event,
    again: Callable[[], bool] = lambda: False,
) -> None:
    """Runs a layer's steps until told to stop.

    Args:
        status: Where the layers say what they did.
        layer: The layer's name.
        trigger: The least number of seconds from the beginning of a step to that of the next one.
        step: Applies what the layer before has; false when something of it is left to do.
        stop: Ends it.
        again: Whether a step is due although nothing changed, for what failed beside a complete one.
    """
    applied: int | None = None
    due = time.monotonic()
    while not stop.is_set():
        # In this order: what was complete then is among the changes that are known now.
        as_of, changes = status.source_as_of(layer), status.changes_before(layer)
        behind = changes is None or changes != applied
        if time.monotonic() >= due and (behind or again()):
            due = time.monotonic() + trigger
            behind = not step(stop)
            applied = None if behind else changes
        if behind:
            wait = due - time.monotonic()
            stop.wait(min(wait, _LOOK_EVERY) if wait > 0 else _LOOK_EVERY)
        else:
            status.complete(layer, as_of)
            status.await_change(layer, changes, _LOOK_EVERY)
