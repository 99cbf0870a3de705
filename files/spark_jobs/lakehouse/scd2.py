"""The change-event semantics: what change events do to the versions of a table's rows (SCD type 2). Pure
Python.

`Fold` continues the history of each key from its head, the key's latest version, open or closed. It takes
each event once, in the order of its first delivery, which per key is commit order: (epoch, partition,
offset). `SpreadFold` does so when the topic has several partitions, which come in any order among them.

The model is AUTO CDC of Spark's declarative pipelines (Scd2BatchProcessor.scala), of which it differs in
order, identity, truncates and what TOAST leaves out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

Key = tuple[Any, ...]
Row = tuple[Any, ...]


class Position(NamedTuple):
    """Where an event was delivered first."""

    epoch: str
    partition: int
    offset: int


class Mark(NamedTuple):
    """An event, as the version that it began, touched or ended remembers it.

    Attributes:
        position: Where it was delivered first.
        lsn: Its LSN.
        at: When it was committed, in microseconds since 1970.
        op: What it did: c, u, r (a snapshot's row), d or t.
        tx_id: Its transaction; None: that is not known.
    """

    position: Position
    lsn: int
    at: int
    op: str
    tx_id: int | None = None


class Event(NamedTuple):
    """A change of one row; without a key a truncate of the table (op `t`), or the end of a snapshot alone.

    Attributes:
        mark: Where and when it happened, and what it was.
        key: The values of the key columns.
        row: The values of all columns after the change; None of what was deleted.
        unavailable: The columns, by their place, whose values the event does not tell (TOAST).
        old_key: The key that the row had before, where the event says so.
        absent: The columns, by their place, that the table did not have then.
        ends_snapshot: Whether it is the last row of a snapshot of the table. A snapshot is told from others
            by its LSN and its transaction, which all its rows have. The LSN alone is none of its own: until
            its next start, Debezium gives all snapshots that of the slot which it made.
    """

    mark: Mark
    key: Key | None
    row: Row | None
    unavailable: tuple[int, ...] = ()
    old_key: Key | None = None
    absent: tuple[int, ...] = ()
    ends_snapshot: bool = False

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from all others, and is the same when it is delivered again."""
        return (self.mark.position.epoch, self.key, self.mark.tx_id, self.mark.lsn, self.mark.op)

    @property
    def ends_others(self) -> bool:
        """Whether it may end rows of other keys: a truncate, or the end of a snapshot."""
        return self.key is None or self.ends_snapshot


class Version(NamedTuple):
    """A version of a row: open while `ended` is None. `applied` is the event that touched it last."""

    row: Row
    number: int
    began: Mark
    applied: Mark
    ended: Mark | None = None


@dataclass(slots=True)
class Change:
    """What a batch made of one key.

    Attributes:
        before: The head that the table has; None: it does not have the key.
        closed: The versions that are no heads any more, or never were.
        head: The latest version.
    """

    before: Version | None
    head: Version | None = None
    closed: list[Version] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether the table has to change; an event that repeats what is known changes nothing."""
        old, new = self.before, self.head
        if old is None or new is None:
            return new is not None
        return (old.number, old.row, old.ended) != (new.number, new.row, new.ended)


class Fold:
    """Folds a batch of events into what it changes."""

    def __init__(
        self,
        tracked: Sequence[int],
        heads: Mapping[Key, Version],
        open_heads: Callable[[], Iterable[tuple[Key, Version]]],
        in_snapshot: Callable[[Mark], Collection[Key]],
    ) -> None:
        """Prepare.

        Args:
            tracked: The places of the columns whose change makes a version.
            heads: The table's heads, of the keys and old keys of the batch at least.
            open_heads: Gives every open head of the table, for a truncate and the end of a snapshot.
            in_snapshot: Gives the keys that a snapshot had, of which it is told the last row.
        """
        self._tracked: Callable[[Row], Any] = itemgetter(*tracked) if tracked else lambda _: None
        self._heads = heads
        self._open_heads = open_heads
        self._in_snapshot = cache(in_snapshot)
        self._changes: dict[Key, Change] = {}

    def apply(self, events: Iterable[Event]) -> None:
        """Folds events, in order, each once."""
        for event in events:
            if event.key is None:
                end = self._end_what_is_gone if event.ends_snapshot else self._truncate
                end(event.mark)
                continue
            self._step(self._change(event.key), event)
            if event.ends_snapshot:
                self._end_what_is_gone(event.mark)

    @property
    def changes(self) -> Iterator[tuple[Key, Change]]:
        """The keys that changed."""
        return ((key, change) for key, change in self._changes.items() if change.changes)

    def _change(self, key: Key) -> Change:
        change = self._changes.get(key)
        if change is None:
            head = self._heads.get(key)
            change = self._changes[key] = Change(before=head, head=head)
        return change

    def _truncate(self, mark: Mark) -> None:
        for key, head in self._open_heads():
            self._changes.setdefault(key, Change(before=head, head=head))
        for change in self._changes.values():
            self._end(change, mark)

    def _end_what_is_gone(self, snapshot: Mark) -> None:
        """Ends what was open and is not in a snapshot: nobody looked when it was deleted."""

        # Of a first snapshot all heads are: nobody has to look what was in it.
        for key, head in self._open_heads():
            if not _is_of(head, snapshot) and key not in self._in_snapshot(snapshot):
                self._changes.setdefault(key, Change(before=head, head=head))
        for key, change in self._changes.items():
            if not _is_of(change.head, snapshot) and key not in self._in_snapshot(snapshot):
                self._end(change, snapshot)

    def _step(self, change: Change, event: Event) -> None:
        if event.mark.op == "d":
            self._end(change, event.mark)
        else:
            self._put(change, event)

    def _end(self, change: Change, mark: Mark) -> None:
        if change.head is not None and change.head.ended is None:
            change.head = Version(*change.head[:3], mark, mark)

    def _put(self, change: Change, event: Event) -> None:
        head, mark = change.head, event.mark
        row = self._complete(event, head)
        if head is None:
            change.head = Version(row, 1, mark, mark)
            return
        same = _filled(row, event.absent, head.row)  # what a column was does not change when it goes
        if head.ended is None and self._tracked(head.row) == self._tracked(same):
            change.head = Version(same, head.number, head.began, mark)
            return
        self._end(change, mark)
        assert change.head is not None
        change.closed.append(change.head)
        change.head = Version(row, head.number + 1, mark, mark)

    def _complete(self, event: Event, head: Version | None) -> Row:
        """The event's row, with what it leaves out taken from the row as it was."""
        assert event.row is not None
        if not event.unavailable:
            return event.row
        last = head if head is not None and head.ended is None else None
        if last is None and event.old_key is not None:
            last = self._change(event.old_key).head
        return event.row if last is None else _filled(event.row, event.unavailable, last.row)


class OutOfOrder(Exception):
    """What ends rows of the whole table came after events that follow it in the source."""


class SpreadFold(Fold):
    """Folds events that came by several partitions.

    Those of a key come by one, in commit order. What ends rows of the whole table, a truncate or the end of
    a snapshot, comes by one of them, before or after events of the others that it follows or precedes in the
    source. There the LSN tells: TRUNCATE holds its lock on the table until it commits, so changes of the
    table that have a lower LSN were committed before, and those of a higher one later; a snapshot has the
    LSN that it was taken at.
    """

    def __init__(
        self,
        tracked: Sequence[int],
        heads: Mapping[Key, Version],
        open_heads: Callable[[], Iterable[tuple[Key, Version]]],
        in_snapshot: Callable[[Mark], Collection[Key]],
        ends: Iterable[Mark],
        foreseen: Iterable[Mark],
        unchecked: Collection[Mark],
        heads_after: Callable[[Mark], Iterable[tuple[Key, Version]]],
    ) -> None:
        """Prepare.

        Args:
            tracked: As of `Fold`.
            heads: As of `Fold`.
            open_heads: As of `Fold`.
            in_snapshot: As of `Fold`.
            ends: What ended rows of the table in earlier batches.
            foreseen: What is known to end rows of the table in this one or later ones.
            unchecked: Of these, those that the heads were made without.
            heads_after: Gives the heads that an event touched last that follows such an end.
        """
        super().__init__(tracked, heads, open_heads, in_snapshot)
        self._applied = {order(end) for end in ends}
        self._foreseen = {order(end) for end in foreseen}
        self._unchecked = unchecked
        self._ends = [*ends, *foreseen]
        self._heads_after = heads_after

    def apply(self, events: Iterable[Event]) -> None:
        """Folds events, each once.

        Raises:
            OutOfOrder: The history of a row would have to change before its head.
        """
        events = list(events)
        ends = [event.mark for event in events if event.ends_others]
        new = [end for end in ends if order(end) not in self._applied]
        for end in [*self._unchecked, *(end for end in new if order(end) not in self._foreseen)]:
            if any(self._follows(end, key, head) for key, head in self._heads_after(end)):
                raise OutOfOrder
        self._ends = sorted({order(end): end for end in reversed([*self._ends, *new])}.values(), key=order)
        for event in _merged(events):
            assert event.key is not None
            change = self._change(event.key)
            self._undo_end(change, event.mark)
            self._end_before(event.key, change, event.mark)
            self._step(change, event)
        if new:
            for key, head in self._open_heads():
                self._changes.setdefault(key, Change(before=head, head=head))
        for key, change in self._changes.items():
            self._end_before(key, change)

    @property
    def changes(self) -> Iterator[tuple[Key, Change]]:
        """The keys that changed; by an event that repeats what is known, too: its place may count later."""
        return (
            (key, change)
            for key, change in self._changes.items()
            if change.head is not None and change.head != change.before
        )

    def _follows(self, end: Mark, key: Key, head: Version) -> bool:
        """Whether an end that comes late changes what came before a head, or how it began."""
        began_later = head.number == 1 and order(head.began) > order(end)
        return not began_later and self._concerns(end, key)

    def _concerns(self, end: Mark, key: Key) -> bool:
        """Whether an end is one of the key's row: of a truncate, or of a snapshot that does not have it."""
        return end.op == "t" or key not in self._in_snapshot(end)

    def _undo_end(self, change: Change, mark: Mark) -> None:
        """Opens a row again of which an event came late that precedes what ended it."""
        head = change.head
        if head is None or head.ended is None or head.ended.op not in ("t", "r"):
            return
        of_that_snapshot = mark.op == "r" and order(mark) == order(head.ended)
        if of_that_snapshot or _at(mark) < _at(head.ended):
            change.head = head._replace(ended=None)

    def _end_before(self, key: Key, change: Change, mark: Mark | None = None) -> None:
        """Ends a row by the first of what ends rows between the event that it has last and another one."""
        for end in self._ends:
            if change.head is None or change.head.ended is not None:
                return
            if mark is not None and _at(end) >= _at(mark):
                return
            if _at(end) > _at(change.head.applied) and self._concerns(end, key):
                self._end(change, end)


def _at(mark: Mark) -> tuple[str, int]:
    """Where in the source's log an event is."""
    return (mark.position.epoch, mark.lsn)


def order(mark: Mark) -> tuple[str, int, str, int]:
    """That, and what tells an end from others there."""
    return (*_at(mark), mark.op, -1 if mark.tx_id is None else mark.tx_id)


def _merged(events: Sequence[Event]) -> Iterator[Event]:
    """The events of rows, those of each partition in their order, all of them roughly by their LSNs.

    A row that got another key is deleted and created at one LSN; what is created may need what is deleted.
    """
    partitions: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        if event.key is not None:
            partitions.setdefault(event.mark.position[:2], []).append(event)
    return heapq.merge(
        *partitions.values(),
        key=lambda event: (_at(event.mark), event.mark.op != "d"),
    )


def _filled(row: Row, places: Collection[int], last: Row) -> Row:
    """A row with the values that another has in some places."""
    if not places:
        return row
    return tuple(last[place] if place in places else value for place, value in enumerate(row))


def _is_of(head: Version | None, snapshot: Mark) -> bool:
    """Whether a snapshot touched a head last, or it is none that could end."""
    if head is None or head.ended is not None:
        return True
    return order(head.applied) == order(snapshot)


def first_deliveries(events: Iterable[Event], was_delivered: Callable[[Event], bool]) -> Iterator[Event]:
    """Each event once, at its first position.

    Args:
        events: Events in the order of their delivery.
        was_delivered: Whether an event came in an earlier batch.
    """
    seen = set()
    for event in events:
        identity = event.identity
        if identity not in seen and not was_delivered(event):
            seen.add(identity)
            yield event
