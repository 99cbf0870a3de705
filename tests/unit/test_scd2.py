"""The change-event semantics: the pure steps against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import deliveries
import pytest
from deliveries import TABLE, without_places
from hypothesis import given
from hypothesis import strategies as st
from lakehouse import scd2
from lakehouse.deliveries import Deliveries
from lakehouse.events import Events
from lakehouse.scd2 import Fold, Key, SpreadFold, Version, first_deliveries
from oracle import Event, history
from oracle import Version as Expected
from streams import CASES, in_order, redelivered_batches, spread_batches

from tests.examples import examples

TRACKED = [TABLE.column_names.index(name) for name in TABLE.tracked]


def fold_in_batches(batches: Sequence[Sequence[Event]]) -> list[Expected]:
    """What the pure steps make of batches, each of them starting from what the one before left."""
    table = MemoryTable()
    for batch in batches:
        table.apply(list(Events(TABLE).of(deliveries.rows(batch))))
    return table.history()


class MemoryTable:
    """A table in memory; `delivered` is what bronze has."""

    def __init__(self) -> None:
        self.heads: dict[Key, Version] = {}
        self.closed: dict[tuple[Key, int], Version] = {}
        self.seen = Deliveries()
        self.delivered: list[scd2.Event] = []

    def apply(self, events: list[scd2.Event]) -> None:
        assert not any(self.seen.may_know(event) for event in events)
        self.delivered += events
        new = list(first_deliveries(events, self.seen.knows))
        fold = self.fold({event.key: self.heads[event.key] for event in events if event.key in self.heads})
        fold.apply(new)
        for key, change in fold.changes:
            assert change.before == self.heads.get(key)
            assert change.head is not None
            self.heads[key] = change.head
            for version in change.closed:
                assert (key, version.number) not in self.closed
                self.closed[key, version.number] = version
        self.seen = self.seen.after(events)
        self.applied(new)

    def fold(self, touched: dict[Key, Version]) -> Fold:
        return Fold(TRACKED, touched, open_heads(self.heads), in_snapshot(self.delivered))

    def applied(self, events: list[scd2.Event]) -> None:
        """These have been applied."""

    def history(self) -> list[Expected]:
        found = [*self.closed.items(), *(((key, head.number), head) for key, head in self.heads.items())]
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
            if event.key is not None
            and (event.mark.op, event.mark.lsn, event.mark.tx_id) == ("r", last.lsn, last.tx_id)
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


@examples(5000)
@given(batches=redelivered_batches())
def test_any_batching_and_redelivery_gives_the_same_history(batches: list[list[Event]]) -> None:
    assert fold_in_batches(batches) == history([event for batch in batches for event in batch])


def fold_spread(batches: Sequence[Sequence[Event]], backlogs: Collection[int]) -> list[Expected]:
    """What the pure steps make of the batches of several partitions, anew where they ask for it.

    Args:
        batches: The batches.
        backlogs: From each of these on, by number, those up to the next one are all there before they are
            applied.
    """
    told = [list(Events(TABLE).of(deliveries.rows(batch))) for batch in batches]
    table = SpreadTable()
    for begin, end in pairwise([*sorted({0, *backlogs} & {*range(len(told))}), len(told)]):
        waiting = told[begin:end]
        table.there += [event for batch in waiting for event in batch]
        table.foresee(event for batch in waiting for event in batch)
        try:
            for batch in waiting:
                table.apply(batch)
        except scd2.OutOfOrder:
            everything = sorted(table.there, key=_piece)
            table = SpreadTable()
            table.there += everything
            table.foresee(everything)
            for _, piece in groupby(everything, lambda event: _piece(event)[0]):
                table.apply(list(piece))
    return table.history()


def _piece(event: scd2.Event) -> tuple[int, int, int]:
    """Of all partitions together, as a backlog is read."""
    return event.mark.position.offset // 2, event.mark.position.partition, event.mark.position.offset


class SpreadTable(MemoryTable):
    """One whose events come by several partitions; `there` is what bronze has."""

    def __init__(self) -> None:
        super().__init__()
        self.there: list[scd2.Event] = []
        self.ends: list[scd2.Mark] = []
        self.foreseen: list[scd2.Mark] = []
        self.unchecked: list[scd2.Mark] = []

    def foresee(self, events: Iterable[scd2.Event]) -> None:
        self.unchecked = [event.mark for event in events if event.ends_others]
        self.foreseen += self.unchecked

    def fold(self, touched: dict[Key, Version]) -> Fold:
        known = open_heads(self.heads), in_snapshot(self.there)
        return SpreadFold(TRACKED, touched, *known, self.ends, self.foreseen, self.unchecked, self._after)

    def applied(self, events: list[scd2.Event]) -> None:
        self.ends += [event.mark for event in events if event.ends_others]
        self.unchecked = []

    def _after(self, end: scd2.Mark) -> list[tuple[Key, Version]]:
        return [(key, head) for key, head in self.heads.items() if head.applied.lsn > end.lsn]


@examples(1000)
@given(stream=spread_batches(), backlogs=st.sets(st.integers(0, 3)))
def test_any_interleaving_of_partitions_gives_the_same_history(
    stream: tuple[list[Event], list[list[Event]]], backlogs: set[int]
) -> None:
    committed, batches = stream
    assert without_places(fold_spread(batches, backlogs)) == without_places(history(committed))
