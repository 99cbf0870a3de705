"""Which events were delivered before, told without reading bronze as far as that is possible.

An event that comes again has an LSN that was seen. So what is beyond every LSN so far is new. LSNs are
not in the order of commits, though, and transactions that overlap would make every batch doubtful: the
identities of what came since the start are kept, so that between the lowest LSN from which on they are
complete and the highest, too, nothing has to be looked up. No window decides: what is below is looked up
in bronze.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakehouse.scd2 import Event, Position

_KEPT = 50_000

Identity = tuple[Any, ...]


class Deliveries:
    """What one table has seen of the present epoch."""

    def __init__(self, epoch: str | None = None, max_lsn: int | None = None) -> None:
        """Begin with what is known of the past: nothing, or the highest LSN of an epoch."""
        self._epoch = epoch
        self.max_lsn = max_lsn
        self._complete_from = 0 if max_lsn is None else max_lsn + 1
        self._known: dict[Identity, Position] = {}

    def may_know(self, event: Event) -> bool:
        """Whether the event may have come before, and only bronze can tell."""
        return event.mark.position.epoch == self._epoch and event.mark.lsn < self._complete_from

    def learn(self, past: Iterable[tuple[Identity, Position]]) -> None:
        """Takes up identities and the positions at which they were delivered."""
        for identity, position in past:
            known = self._known.get(identity)
            if known is None or position < known:
                self._known[identity] = position

    def knows(self, event: Event) -> bool:
        """Whether the event was delivered at an earlier position."""
        known = self._known.get(event.identity)
        return known is not None and known < event.mark.position

    def after(self, events: Iterable[Event]) -> Deliveries:
        """What is known when these events, too, have been applied."""
        events = list(events)
        epoch = max((event.mark.position.epoch for event in events), default=self._epoch)
        after = Deliveries(epoch)
        if epoch == self._epoch:
            after.max_lsn, after._complete_from = self.max_lsn, self._complete_from
            after._known = self._known
        mine = [event for event in events if event.mark.position.epoch == epoch]
        after.learn((event.identity, event.mark.position) for event in mine)
        lsns = [event.mark.lsn for event in mine]
        after.max_lsn = max([*lsns, *([] if after.max_lsn is None else [after.max_lsn])], default=None)
        if len(after._known) > _KEPT:
            ordered = sorted(identity[3] for identity in after._known)
            after._complete_from = max(after._complete_from, ordered[len(ordered) // 2])
            after._known = {
                identity: position
                for identity, position in after._known.items()
                if identity[3] >= after._complete_from
            }
        return after
