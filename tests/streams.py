"""Streams of changes for the tests of the change semantics."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from oracle import UNAVAILABLE, Event


def put(key: int, status: object, note: object = "n", op: str = "u") -> dict[str, object]:
    return {"key": key, "op": op, "status": status, "note": note}


def delete(key: int) -> dict[str, object]:
    return {"key": key, "op": "d"}


TRUNCATE: dict[str, object] = {"key": None, "op": "t"}


def in_order(*changes: dict[str, object]) -> list[Event]:
    return [Event(offset=i, lsn=100 + i, tx=i, at=i, **change) for i, change in enumerate(changes)]


CASES: dict[str, list[dict[str, object]]] = {
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


@st.composite
def redelivered_batches(draw: st.DrawFn) -> list[list[Event]]:
    """Any changes, with LSNs in any order, some of them delivered again, cut into any batches."""
    made = draw(st.lists(changes, min_size=1, max_size=14))
    lsns = draw(st.permutations(range(len(made))))
    first = [
        Event(offset=0, lsn=lsn, tx=i // 2, at=i, **change)
        for i, (change, lsn) in enumerate(zip(made, lsns, strict=True))
    ]
    delivered: list[Event] = []
    done = 0
    while done < len(first):
        until = draw(st.integers(done + 1, len(first)))
        start = draw(st.integers(max(0, done - 5), done))
        delivered += first[start:until]
        done = until
    stream = [replace(event, offset=offset) for offset, event in enumerate(delivered)]
    cuts = sorted(draw(st.sets(st.integers(1, len(stream)), max_size=2)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
