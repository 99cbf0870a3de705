"""The change-event semantics: the pure steps against the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import deliveries
import pytest
from deliveries import TABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakehouse import envelope, scd2
from oracle import UNAVAILABLE, Event, Version, history
from pyspark.sql import Row, SparkSession

HISTORY = scd2.silver_schema(TABLE)


def fold_in_batches(spark: SparkSession, batches: Sequence[Sequence[Event]]) -> list[Version]:
    """What the pure steps make of batches, each of them starting from what the one before left."""
    table: dict[tuple[int, int], Row] = {}
    past: list[Event] = []
    for batch in batches:
        if not batch:
            continue
        heads = spark.createDataFrame([tuple(row)[:-1] for row in table.values() if row._head], HISTORY)
        events = scd2.first_deliveries(
            envelope.events(deliveries.bronze(spark, deliveries.records(batch)), TABLE)
        )
        if past:
            before = deliveries.bronze(spark, deliveries.records(past))
            events = scd2.not_delivered_before(events, envelope.identities(before))
        events = events.persist()
        truncates = scd2.truncates(events)
        events = scd2.carry_forward(events.where("op <> 't'"), heads, TABLE)
        for row in scd2.fold(events, heads, TABLE, truncates).collect():
            assert row._known == ((row.id, row.version) in table)
            table[row.id, row.version] = row
        past.extend(batch)
    for key in {key for key, _ in table}:
        assert [row._head for (k, _), row in sorted(table.items()) if k == key][-1]
        assert sum(row._head for (k, _), row in table.items() if k == key) == 1
    return [deliveries.version(table[place]) for place in sorted(table)]


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


@pytest.mark.parametrize("split", ["one batch", "a batch each"])
@pytest.mark.parametrize("case", CASES)
def test_history_is_the_oracles(spark: SparkSession, case: str, split: str) -> None:
    events = in_order(*CASES[case])
    batches = [events] if split == "one batch" else [[event] for event in events]
    assert fold_in_batches(spark, batches) == history(events)


def test_commit_order_beats_lsn(spark: SparkSession) -> None:
    """T1 updates and deletes the row around T2's insert, which commits last: the row lives."""
    events = [
        Event(offset=0, key=1, op="c", lsn=50, tx=1, at=0, status="a"),
        Event(offset=1, key=1, op="u", lsn=90, tx=2, at=5, status="b"),
        Event(offset=2, key=1, op="d", lsn=110, tx=2, at=5),
        Event(offset=3, key=1, op="c", lsn=100, tx=3, at=6, status="c"),
    ]
    found = fold_in_batches(spark, [events])
    assert found == history(events)
    assert found[-1].status == "c" and found[-1].to_offset is None


def test_rows_of_one_statement_share_an_lsn(spark: SparkSession) -> None:
    events = [Event(offset=i, key=i, op="c", lsn=100, tx=1, at=0, status="a") for i in range(5)]
    again = [replace(event, offset=5 + event.offset) for event in events[2:]]
    found = fold_in_batches(spark, [events[:3], events[3:] + again])
    assert found == history(events)
    assert len(found) == 5


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


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batches=redelivered_batches())
def test_any_batching_and_redelivery_gives_the_same_history(
    spark: SparkSession, batches: list[list[Event]]
) -> None:
    assert fold_in_batches(spark, batches) == history([event for batch in batches for event in batch])
