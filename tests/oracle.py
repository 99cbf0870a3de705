"""What the jobs are held against: history(key) = fold(dedupe(events of the key and truncates, in order)).

Shares no code with them. Knows one table: the key `id`, the tracked column `status`, and `note`, which
makes no versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

UNAVAILABLE = object()


@dataclass(frozen=True)
class Event:
    """A change event where it was delivered; `key` is None in a truncate."""

    offset: int
    key: int | None
    op: str
    lsn: int
    tx: int
    at: int
    status: object = None
    note: object = None
    last: bool = False
    """Whether it is the last row of a snapshot, whose rows share their LSN and transaction."""
    partition: int = 0


@dataclass(frozen=True)
class Version:
    """A row of history."""

    key: int
    number: int
    status: object
    note: object
    valid_from: int
    valid_to: int | None
    from_lsn: int
    from_snapshot: bool
    from_offset: int
    to_offset: int | None


def dedupe(events: Iterable[Event]) -> list[Event]:
    """The first delivery of each event."""
    first: dict[tuple[object, ...], Event] = {}
    for event in events:
        first.setdefault((event.key, event.tx, event.lsn, event.op), event)
    return list(first.values())


def history(events: Iterable[Event]) -> list[Version]:
    """Every version of every row, by key and number."""
    events, rows = list(events), dict[int, list[Version]]()
    for event in dedupe(events):
        for key in list(rows) if event.key is None else [event.key]:
            step(rows.setdefault(key, []), event, key)
        if event.last:  # what was not in the snapshot is gone
            came = [other for other in events if other.offset <= event.offset]
            there = {e.key for e in came if (e.op, e.lsn, e.tx) == ("r", event.lsn, event.tx)}
            for key in rows.keys() - there:
                step(rows[key], replace(event, op="d"), key)
    return [version for key in sorted(rows) for version in rows[key]]


def step(versions: list[Version], event: Event, key: int) -> None:
    """What one event does to the history of one key."""
    last = versions[-1] if versions and versions[-1].to_offset is None else None
    if event.op in ("d", "t"):
        if last:
            versions[-1] = replace(last, valid_to=event.at, to_offset=event.offset)
        return
    status, note = (
        (getattr(last, name) if last else None) if value is UNAVAILABLE else value
        for name, value in (("status", event.status), ("note", event.note))
    )
    if last and last.status == status:
        versions[-1] = replace(last, note=note)
        return
    if last:
        versions[-1] = replace(last, valid_to=event.at, to_offset=event.offset)
    number, snapshot = len(versions) + 1, event.op == "r"
    versions.append(
        Version(key, number, status, note, event.at, None, event.lsn, snapshot, event.offset, None)
    )
