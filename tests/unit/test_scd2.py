"""The change-event semantics: the pure steps against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import deliveries
import pytest
from deliveries import TABLE
from hypothesis import HealthCheck, given, settings
from lakehouse import scd2
from lakehouse.deliveries import Deliveries
from lakehouse.events import Events
from lakehouse.scd2 import Fold, Key, SpreadFold, Version, first_deliveries
from oracle import Event, history
from oracle import Version as Expected
from streams import CASES, in_order, redelivered_batches, spread_batches


def fold_in_batches(batches: Sequence[Sequence[Event]]) -> list[Expected]:
    """What the pure steps make of batches, each of them starting from what the one before left."""
    heads: dict[Key, Version] = {}
    closed: dict[tuple[Key, int], Version] = {}
    seen = Deliveries()
    delivered: list[scd2.Event] = []
    for batch in batches:
        events = list(Events(TABLE).of(deliveries.rows(batch)))
        assert not any(seen.may_know(event) for event in events)
        touched = {event.key: heads[event.key] for event in events if event.key in heads}
        delivered += events
        tracked = [TABLE.column_names.index(name) for name in TABLE.tracked]
        fold = Fold(tracked, touched, open_heads(heads), in_snapshot(delivered))
        fold.apply(first_deliveries(events, seen.knows))
        for key, change in fold.changes:
            assert change.before == heads.get(key)
            assert change.head is not None
            heads[key] = change.head
            for version in change.closed:
                assert (key, version.number) not in closed
                closed[key, version.number] = version
        seen = seen.after(events)
    found = [*closed.items(), *(((key, head.number), head) for key, head in heads.items())]
    assert len({place for place, _ in found}) == len(found)
    return [deliveries.expected(version) for _, version in sorted(found)]


def open_heads(heads: dict[Key, Version]):  # type: ignore[no-untyped-def]
    return lambda: [(key, head) for key, head in heads.items() if head.ended is None]


def in_snapshot(delivered: list[scd2.Event]) -> Callable[[scd2.Mark], set[Key]]:
    def keys(last: scd2.Mark) -> set[Key]:
        at, until = last.position.partition, last.position.offset
        came = [e for e in delivered if e.mark.position.partition != at or e.mark.position.offset <= until]
        return {
            event.key
            for event in came
            if event.key is not None and (event.mark.op, event.mark.lsn) == ("r", last.lsn)
        }

    return keys


@pytest.mark.parametrize("split", ["one batch", "a batch each"])
@pytest.mark.parametrize("case", CASES)
def test_history_is_the_oracles(case: str, split: str) -> None:
    events = in_order(*CASES[case])
    batches = [events] if split == "one batch" else [[event] for event in events]
    assert fold_in_batches(batches) == history(events)


def test_commit_order_beats_lsn() -> None:
    """T1 updates and deletes the row around T2's insert, which commits last: the row lives."""
    events = [
        Event(offset=0, key=1, op="c", lsn=50, tx=1, at=0, status="a"),
        Event(offset=1, key=1, op="u", lsn=90, tx=2, at=5, status="b"),
        Event(offset=2, key=1, op="d", lsn=110, tx=2, at=5),
        Event(offset=3, key=1, op="c", lsn=100, tx=3, at=6, status="c"),
    ]
    found = fold_in_batches([events])
    assert found == history(events)
    assert found[-1].status == "c" and found[-1].to_offset is None


def test_rows_of_one_statement_share_an_lsn() -> None:
    events = [Event(offset=i, key=i, op="c", lsn=100, tx=1, at=0, status="a") for i in range(5)]
    again = [replace(event, offset=5 + event.offset) for event in events[2:]]
    found = fold_in_batches([events[:3], events[3:] + again])
    assert found == history(events)
    assert len(found) == 5


@settings(max_examples=5000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batches=redelivered_batches())
def test_any_batching_and_redelivery_gives_the_same_history(batches: list[list[Event]]) -> None:
    assert fold_in_batches(batches) == history([event for batch in batches for event in batch])


def fold_spread(batches: Sequence[Sequence[Event]]) -> list[Expected]:
    """What the pure steps make of the batches of several partitions, anew where they ask for it."""
    table = SpreadTable()
    delivered: list[scd2.Event] = []
    for batch in batches:
        events = list(Events(TABLE).of(deliveries.rows(batch)))
        delivered += events
        try:
            table.apply(events, delivered)
        except scd2.OutOfOrder:
            table = SpreadTable()
            table.apply(sorted(delivered, key=lambda event: event.mark.position), delivered)
    return table.history()


class SpreadTable:
    """A table in memory."""

    def __init__(self) -> None:
        self.heads: dict[Key, Version] = {}
        self.closed: dict[tuple[Key, int], Version] = {}
        self.seen = Deliveries()
        self.ends: list[scd2.Mark] = []

    def apply(self, events: Sequence[scd2.Event], delivered: list[scd2.Event]) -> None:
        touched = {event.key: self.heads[event.key] for event in events if event.key in self.heads}
        tracked = [TABLE.column_names.index(name) for name in TABLE.tracked]
        fold = SpreadFold(
            tracked, touched, open_heads(self.heads), in_snapshot(delivered), self.ends, [], self._after
        )
        new = list(first_deliveries(events, self.seen.knows))
        fold.apply(new)
        for key, change in fold.changes:
            assert change.before == self.heads.get(key)
            assert change.head is not None
            self.heads[key] = change.head
            for version in change.closed:
                assert (key, version.number) not in self.closed
                self.closed[key, version.number] = version
        self.ends = [*self.ends, *(event.mark for event in new if event.ends_others)]
        self.seen = self.seen.after(events)

    def _after(self, end: scd2.Mark) -> list[tuple[Key, Version]]:
        return [(key, head) for key, head in self.heads.items() if head.applied.lsn > end.lsn]

    def history(self) -> list[Expected]:
        found = [*self.closed.items(), *(((key, head.number), head) for key, head in self.heads.items())]
        return [deliveries.expected(version) for _, version in sorted(found)]


def without_places(versions: Sequence[Expected]) -> list[Expected]:
    """What has come by other partitions has other offsets."""
    return [
        replace(version, from_offset=0, to_offset=None if version.to_offset is None else 0)
        for version in versions
    ]


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(stream=spread_batches())
def test_any_interleaving_of_partitions_gives_the_same_history(
    stream: tuple[list[Event], list[list[Event]]],
) -> None:
    committed, batches = stream
    assert without_places(fold_spread(batches)) == without_places(history(committed))
