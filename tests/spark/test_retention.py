"""What bronze keeps when old events go, and that silver comes out the same nevertheless."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import deliveries
import pytest
from deliveries import TABLE, TOPIC, without_places
from hypothesis import assume, given
from hypothesis import strategies as st
from lakehouse import bronze, requests, retention, silver
from oracle import Event, history
from pyspark.sql import SparkSession
from streams import TRUNCATE, delete, in_order, put, redelivered_batches, snapshot
from test_requests import MODEL, ask
from test_silver import Lake, empty  # noqa: F401

from tests.examples import examples

pytestmark = pytest.mark.slow

DAY = 86_400_000_000
EVENTS = in_order(
    snapshot(k1="a", k2="a", k3="a"),
    put(1, "b"),
    delete(2),
    put(1, "b", "other"),
    put(2, "c", op="c"),
    put(1, "c"),
    TRUNCATE,
    put(4, "a", op="c"),
)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    (tmp_path / "of_things.sql").write_text(MODEL)
    return Lake(spark, tmp_path)


def a_day_each(lake: Lake, events: Sequence[Event], first_day: int = 0) -> None:
    for day, event in enumerate(events, first_day):
        lake.write_bronze([event], at=day * DAY)
    assert lake.step()


def lose_silver(lake: Lake) -> None:
    path = lake.config.silver_path(TABLE)
    shutil.rmtree(path.removeprefix("file://"))
    lake.forget()
    silver.create_tables(lake.spark, lake.config)
    lake.restart()


def offsets(lake: Lake) -> list[int]:
    rows = lake.spark.read.format("delta").load(lake.config.bronze_path).select("offset").collect()
    return sorted(row[0] for row in rows)


def test_old_events_go_and_a_rebuild_gives_what_was_there_before(lake: Lake) -> None:
    a_day_each(lake, EVENTS[:8])
    retention.trim(lake.spark, lake.config, 3.5)
    assert offsets(lake) == [4, 5, 6, 7]
    a_day_each(lake, EVENTS[8:], 8)
    assert lake.versions() == history(EVENTS)
    planted = "WHERE is_current OR valid_from_position.offset > 5"
    lake.spark.sql(f"UPDATE delta.`{lake.config.silver_path(TABLE)}` SET status = 'planted' {planted}")
    ask(lake, requests.REBUILD, {})
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_the_last_event_of_a_quiet_partition_stays_and_bronze_goes_on_behind_it(lake: Lake) -> None:
    lake.write_bronze(EVENTS)
    a_day_each(lake, [replace(EVENTS[-1], key=9, lsn=900, tx=900, offset=0, partition=1)], 100)
    retention.trim(lake.spark, lake.config, 20)
    assert offsets(lake) == [0, 9]
    stored = bronze.stored_state(lake.spark.read.format("delta").load(lake.config.bronze_path))
    assert stored[TOPIC].offsets == {0: 9, 1: 0}


def test_nothing_of_a_table_that_is_not_listed_any_more_is_kept_for_longer(lake: Lake) -> None:
    lake.write_bronze(EVENTS)
    other = replace(TABLE, name="public.others")
    for day in (1, 2, 40):
        event = replace(EVENTS[0], partition=1, offset=day)
        lake.write_records(deliveries.records([event]), day * DAY, other)
    assert lake.step()
    retention.trim(lake.spark, lake.config, 30)
    assert offsets(lake) == [9, 40]


def test_what_silver_has_not_applied_stays(lake: Lake) -> None:
    for day, event in enumerate(EVENTS[:8]):
        lake.write_bronze([event], at=day * DAY)
    retention.trim(lake.spark, lake.config, 2)
    assert offsets(lake) == list(range(8))
    lake.step()
    retention.trim(lake.spark, lake.config, 2)
    assert offsets(lake) == [5, 6, 7]


def test_the_events_of_a_snapshot_stay_until_it_has_ended(lake: Lake) -> None:
    """Its end closes what it does not have: all its rows have to be there."""
    events = in_order(put(1, "a", op="c"), put(2, "a", op="c"), snapshot(k2="a", k3="b"), put(4, "a", op="c"))
    a_day_each(lake, events[:3])
    a_day_each(lake, [replace(events[-1], offset=9)], 9)
    retention.trim(lake.spark, lake.config, 2)
    assert offsets(lake) == [0, 1, 2, 9]


def test_a_table_of_one_row_and_events_that_changed_nothing_hold_nothing_back(lake: Lake) -> None:
    """Debezium marks the only row of the first table of a snapshot as the first, none as the last."""
    events = in_order(put(1, "a", op="r"), put(1, "a"))
    ((*place, key, value),) = deliveries.records(events[:1])
    told = json.loads(value)
    told["source"]["snapshot"] = "first"
    lake.write_records([(*place, key, json.dumps(told).encode())])
    assert lake.step()
    a_day_each(lake, events[1:], 1)
    lake.write_records([deliveries.record(2, {"id": 1}, None)], at=9 * DAY)
    assert lake.step()
    retention.trim(lake.spark, lake.config, 2)
    assert offsets(lake) == [2]


@pytest.mark.long
def test_an_erased_row_is_gone_from_the_history_that_bronze_has_no_events_of(lake: Lake) -> None:
    a_day_each(lake, EVENTS)
    retention.trim(lake.spark, lake.config, 2.5)
    ask(lake, requests.ERASE, {"public.things": [{"id": 2}]})
    assert json.loads((lake.config.state / requests.ERASED).read_text()) == {"public.things": [True]}
    assert lake.step()
    assert lake.versions() == [version for version in history(EVENTS) if version.key != 2]


@pytest.mark.long
def test_a_table_that_was_lost_needs_a_new_snapshot(lake: Lake) -> None:
    a_day_each(lake, EVENTS)
    retention.trim(lake.spark, lake.config, 2.5)
    lose_silver(lake)
    assert not lake.step()
    (failed,) = lake.status.as_json()["tables"].values()
    assert "resnapshot.yml" in json.dumps(failed)
    again = [
        replace(event, offset=event.offset + 10, lsn=900, at=900)
        for event in in_order(snapshot(k3="x", k4="a"))
    ]
    lake.write_bronze(again, at=10 * DAY)
    lake.restart()
    assert lake.step()
    current = {version.key: version.status for version in lake.versions() if version.to_offset is None}
    assert current == {3: "x", 4: "a"}


@pytest.mark.long
def test_the_last_row_of_a_snapshot_is_no_snapshot(lake: Lake) -> None:
    """It stays as the last event of its partition, when the others have gone."""
    a_day_each(lake, in_order(snapshot(k1="a", k2="a")))
    other = replace(in_order(put(9, "a", op="c"))[0], lsn=900, tx=900, offset=0, partition=1)
    a_day_each(lake, [other], 100)
    retention.trim(lake.spark, lake.config, 20)
    assert offsets(lake) == [0, 1]
    lose_silver(lake)
    assert not lake.step()
    assert "resnapshot.yml" in json.dumps(lake.status.as_json()["tables"])


def test_a_rebuild_after_quiet_days_keeps_the_history_of_before(lake: Lake) -> None:
    a_day_each(lake, EVENTS[:3])
    a_day_each(lake, EVENTS[3:], 20)
    retention.trim(lake.spark, lake.config, 10)
    assert min(offsets(lake)) == 3
    silver.empty(lake.spark, lake.config, TABLE)
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_row_that_is_taken_back_is_cut_by_a_truncate_that_comes_late(lake: Lake) -> None:
    """It follows what began the row, and precedes what came again for it with the same values."""
    first, other, later, truncate, again = in_order(
        put(2, "a", op="c"), put(1, "a", op="c"), put(1, "b"), TRUNCATE, put(2, "a", op="c")
    )
    events = [first, replace(other, partition=1, offset=0), replace(later, partition=1, offset=1)]
    again, late = replace(again, offset=1), replace(truncate, partition=1, offset=2)
    for day, event in ((0, events[0]), (0, events[1]), (20, events[2]), (22, again)):
        lake.write_bronze([event], at=day * DAY)
        assert lake.step()
    retention.trim(lake.spark, lake.config, 10)
    lake.write_bronze([late], at=23 * DAY)
    assert lake.step()
    committed = [*events, late, again]
    assert without_places(lake.versions()) == without_places(history(committed))


def test_it_is_taken_back_in_full_also_when_that_was_interrupted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_day_each(lake, EVENTS)
    retention.trim(lake.spark, lake.config, 4.5)
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(retention, "finish", lambda *_: 1 / 0)
        silver.empty(lake.spark, lake.config, TABLE)
    lake.restart()
    assert lake.step()
    assert lake.versions() == history(EVENTS)


@examples(4, make_smaller=False)
@given(data=st.data(), batches=redelivered_batches())
def test_a_rebuild_without_old_events_is_one_with_them(
    spark: SparkSession,
    empty: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    batches: list[list[Event]],
) -> None:
    stream = [event for batch in batches for event in batch]
    size = data.draw(st.integers(1, 3), "events a day")
    days = [stream[at : at + size] for at in range(0, len(stream), size)]
    assume(len(days) > 2)
    rebuilt = data.draw(st.integers(3, len(days)), "days until the rebuild")
    gone = data.draw(st.integers(1, rebuilt - 2), "days that go")
    old = {identity(event) for day in days[:gone] for event in day}
    assume(not any(identity(event) in old for day in days[gone + 1 :] for event in day))
    folder = tmp_path_factory.mktemp("lake")
    shutil.copytree(empty, folder, dirs_exist_ok=True)
    lake = Lake(spark, folder)
    try:
        for day, batch in enumerate(days):
            lake.write_bronze(batch, at=day * DAY)
            assert lake.step()
            if day + 1 == rebuilt:
                retention.trim(spark, lake.config, day - gone + 0.5)
                silver.empty(spark, lake.config, TABLE)
                lake.restart()
                assert lake.step()
        assert lake.versions() == history(stream)
    finally:
        lake.forget()
        shutil.rmtree(folder)


def identity(event: Event) -> tuple[object, ...]:
    """What tells an event from others."""
    return (event.key, event.tx, event.lsn, event.op)
