"""When to try again what failed."""

from __future__ import annotations

import time

_FIRST, _LONGEST = 1.0, 60.0


class NeedsSomebody(Exception):
    """No other try mends it; the message says what does."""


class Backoff:
    """Waits that double with each failure in a row, up to a minute."""

    def __init__(self) -> None:
        self._wait = 0.0
        self._due = 0.0

    def failed(self) -> float:
        """Notes a failure; returns the seconds until the next try."""
        self._wait = min(_LONGEST, max(_FIRST, self._wait * 2))
        self._due = time.monotonic() + self._wait
        return self._wait

    def succeeded(self) -> None:
        """Notes a success."""
        self._wait = self._due = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._wait > 0

    @property
    def due(self) -> bool:
        """Whether it is time to try."""
        return time.monotonic() >= self._due
