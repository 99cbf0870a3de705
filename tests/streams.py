"""Streams of changes for the tests of the change semantics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st
from oracle import UNAVAILABLE, Event


def put(key: int, status: object, note: object = "n", op: str = "u") -> dict[str, object]:
    return {"key": key, "op": op, "status": status, "note": note}


def delete(key: int) -> dict[str, object]:
    return {"key": key, "op": "d"}


TRUNCATE: dict[str, object] = {"key": None, "op": "t"}


def snapshot(**rows: object) -> list[dict[str, object]]:
    """A snapshot's rows, by key as in `k1="a"`: they share LSN and transaction; the last says that it is."""
    found = [put(int(key.removeprefix("k")), status, op="r") for key, status in rows.items()]
    return [*found[:-1], {**found[-1], "last": True}]


Step = dict[str, object] | list[dict[str, object]]
"""A change, or several of the same LSN."""


def in_order(*steps: Step) -> list[Event]:
    return _events(steps, range(100, 100 + len(steps)), range(len(steps)))


def _events(steps: Sequence[Step], lsns: Sequence[int], transactions: Sequence[int]) -> list[Event]:
    found = [
        {"lsn": lsn, "tx": tx, **change}
        for step, lsn, tx in zip(steps, lsns, transactions, strict=True)
        for change in (step if isinstance(step, list) else [step])
    ]
    return [Event(offset=i, at=i, **change) for i, change in enumerate(found)]


CASES: dict[str, list[Step]] = {
    "every change of a key in a batch is a version": [put(1, "a", op="c"), put(1, "b"), put(1, "c")],
    "a snapshot row is an upsert": [put(1, "a", op="r"), put(1, "a", op="r"), put(1, "b", op="r")],
    "a delete closes and leaves a gap": [put(1, "a", op="c"), delete(1), put(1, "a", op="c")],
    "a second delete changes nothing": [put(1, "a", op="c"), delete(1), delete(1)],
    "a delete of an unknown key changes nothing": [delete(1), put(1, "a", op="c")],
    "an untracked change makes no version": [
        put(1, "a", "x", op="c"),
        put(1, "a", "y"),
        put(1, "b", "y"),
        put(1, "b", "z"),
    ],
    "null is a state like others": [put(1, None, op="c"), put(1, None), put(1, "a"), put(1, None)],
    "a truncate closes every open row": [
        put(1, "a", op="c"),
        put(2, "a", op="c"),
        delete(2),
        TRUNCATE,
        put(1, "a", op="c"),
    ],
    "two truncates between changes": [put(1, "a", op="c"), TRUNCATE, TRUNCATE, put(2, "a", op="c"), TRUNCATE],
    "a key update is a delete and a create": [put(1, "a", op="c"), delete(1), put(2, "a", op="c")],
    "an unavailable value is carried forward": [
        put(1, "a", "long", op="c"),
        put(1, "b", UNAVAILABLE),
        put(1, UNAVAILABLE, "new"),
        put(1, "c", UNAVAILABLE),
    ],
    "a snapshot closes what it does not have": [
        snapshot(k1="a", k2="a", k3="a"),
        put(1, "b"),
        snapshot(k1="b", k3="c"),
        put(2, "a", op="c"),
    ],
    "a snapshot that has the LSN of one before closes what that had": [
        snapshot(k1="a", k2="a", k3="a"),
        put(3, "b"),
        [{**row, "lsn": 100} for row in snapshot(k2="a")],
    ],
    "a snapshot without its end closes nothing": [put(1, "a", op="c"), snapshot(k2="a", k3="a")[:1]],
    "a snapshot of one row closes all others": [put(1, "a", op="c"), put(2, "a", op="c"), snapshot(k2="a")],
    "a snapshot after a delete opens again": [
        put(1, "a", op="c"),
        delete(1),
        snapshot(k1="a"),
        snapshot(k2="b"),
    ],
}


changes = st.one_of(
    st.builds(
        put,
        st.integers(1, 3),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["x", "y", UNAVAILABLE]),
        st.sampled_from(["c", "u", "r"]),
    ),
    st.builds(delete, st.integers(1, 3)),
    st.just(TRUNCATE),
)
snapshots = st.dictionaries(
    st.sampled_from(["k1", "k2", "k3"]), st.sampled_from(["a", "b", None]), min_size=1
).map(lambda rows: snapshot(**rows))
steps = st.one_of(changes, changes, changes, snapshots)


def _redelivered(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Events, of which the last ones come again now and then."""
    delivered: list[Event] = []
    done = 0
    while done < len(events):
        until = draw(st.integers(done + 1, len(events)))
        start = draw(st.integers(max(0, done - 5), done))
        delivered += events[start:until]
        done = until
    return delivered


@st.composite
def redelivered_batches(draw: st.DrawFn) -> list[list[Event]]:
    """Any changes, with LSNs in any order, some of them delivered again, cut into any batches.

    Debezium gives all snapshots that it takes after it made the slot, until its next start, the slot's LSN.
    """
    made = draw(st.lists(steps, min_size=1, max_size=12))
    lsns = draw(st.permutations(range(len(made))))
    transactions = [i // 2 for i in range(len(made))]
    if draw(st.booleans()):
        snapshots_at = [place for place, step in enumerate(made) if isinstance(step, list)]
        for place in snapshots_at:
            lsns[place], transactions[place] = lsns[snapshots_at[0]], len(made) + place
    first = _events(made, lsns, transactions)
    stream = [replace(event, offset=offset) for offset, event in enumerate(_redelivered(draw, first))]
    cuts = sorted(draw(st.sets(st.integers(1, len(stream)), max_size=2)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@st.composite
def spread_batches(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """Changes in the order of their commits; and how they come by several partitions, in any batches.

    As in PostgreSQL, what truncates the table has an LSN between those of what was committed before and
    later; a snapshot, too. A truncate comes by any partition, also when it comes again.
    """
    made = draw(st.lists(steps, min_size=1, max_size=12))
    runs: list[list[int]] = [[]]
    for place, step in enumerate(made):
        if step is TRUNCATE or isinstance(step, list):
            runs += [[place], []]
        else:
            runs[-1].append(place)
    lsns = [lsn for run in runs for lsn in draw(st.permutations(run))]
    committed = _events(made, lsns, [i // 2 for i in range(len(made))])
    count = draw(st.integers(2, 3))
    partitions: list[list[Event]] = [[] for _ in range(count)]
    for event in _redelivered(draw, committed):
        at = draw(st.integers(0, count - 1)) if event.key is None else event.key % count
        partitions[at].append(replace(event, partition=at, offset=len(partitions[at])))
    batches = []
    while any(partitions):
        taken = [draw(st.integers(0, len(waiting))) for waiting in partitions]
        batches.append([event for waiting, n in zip(partitions, taken, strict=True) for event in waiting[:n]])
        partitions = [waiting[n:] for waiting, n in zip(partitions, taken, strict=True)]
    return committed, [batch for batch in batches if batch]
