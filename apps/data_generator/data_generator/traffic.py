"""Keeps the shop busy at an even rate, through outages of the database, until told to stop."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from data_generator.actions import Action
from data_generator.database import ChangedElsewhere, Unavailable
from data_generator.shop import Bounds, Shop

LOG = logging.getLogger("data_generator")
LONGEST_PAUSE = 30.0
REPORT_EVERY = 60.0


class Store(AbstractContextManager["Store"], Protocol):
    """What the traffic needs of a database."""

    def load(self, bounds: Bounds) -> Shop:
        """The shop as it is."""

    def commit(self, actions: Iterable[Action], record: Callable[[Action, int], None]) -> None:
        """Run the actions in one transaction, and record each with the key of its row before the next."""


@dataclass
class Traffic:
    """A program's run.

    Attributes:
        connect: Opens the database.
        wait: Waits so many seconds; True when the program has been told to stop.
        ready: Called once the shop is open.
        rate: Changed rows a second, on average.
        clock: Seconds that pass.
    """

    connect: Callable[[], Store]
    wait: Callable[[float], bool]
    ready: Callable[[], None]
    rate: float
    seed: int
    bounds: Bounds
    clock: Callable[[], float] = time.monotonic

    def run(self) -> None:
        """Write until told to stop."""
        pause = 0.0
        for attempt in itertools.count():
            if self.wait(pause):
                return
            try:
                with self.connect() as store:
                    pause = 0.0
                    self._write(store, attempt)
                    return
            except Unavailable as error:
                pause = min(LONGEST_PAUSE, 2 * pause or 1.0)
                LOG.warning("No database, next try in %g s: %s", pause, str(error).strip())
            except ChangedElsewhere as error:
                pause = 1.0
                LOG.info("Looking at the shop anew: %s", error)

    def _write(self, store: Store, attempt: int) -> None:
        shop = store.load(self.bounds)
        random = shop.random(self.seed, attempt)
        store.commit(shop.opening(random), shop.record)
        LOG.info(
            "The shop has %d customers, %d products and %d orders; writing %g rows a second",
            len(shop.customers), len(shop.products), len(shop.orders), self.rate,
        )  # fmt: skip
        self.ready()
        due = reported = self.clock()
        done: Counter[str] = Counter()
        # Late by more than a second, time is not made up for: no flood after an outage.
        while not self.wait(max(0.0, due - self.clock())):
            action = shop.next(random)
            store.commit([action], shop.record)
            done[type(action).__name__] += 1
            due = max(due, self.clock() - 1.0) + action.rows / self.rate
            if self.clock() - reported >= REPORT_EVERY:
                LOG.info("Done: %s", ", ".join(f"{count} {kind}" for kind, count in sorted(done.items())))
                done.clear()
                reported = self.clock()
