"""What playbooks ask of the jobs: a rebuild, and the erasure of rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import deliveries
import pytest
from deliveries import TABLE
from lakehouse import requests, silver
from lakehouse.config import Column
from lakehouse.delta_log import TableLog
from oracle import history
from pyspark.sql import SparkSession
from streams import delete, in_order, put, snapshot
from test_silver import Lake

pytestmark = pytest.mark.slow

MODEL = """-- keys: [status]
-- changes:
--   things: SELECT status FROM {changes}
SELECT status, count(*) AS things FROM {things} GROUP BY status
"""
EVENTS = in_order(put(1, "a", op="c"), put(2, "a", op="c"), put(1, "b"), delete(2), put(3, "b", op="c"))


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    (tmp_path / "of_things.sql").write_text(MODEL)
    return Lake(spark, tmp_path)


def ask(lake: Lake, request: str, content: object) -> None:
    """As a playbook does, and start anew."""
    (lake.config.state / request).write_text(json.dumps(content))
    requests.fulfil(lake.spark, lake.config)
    assert not (lake.config.state / request).exists()
    lake.restart()


def told(lake: Lake) -> Any:
    """What an erasure came to."""
    file = lake.config.state / requests.ERASED
    assert file.stat().st_mode & 0o777 == 0o600
    return json.loads(file.read_text())


def bronze(lake: Lake) -> list[dict[str, object]]:
    rows = lake.spark.read.format("delta").load(lake.config.bronze_path).orderBy("offset").collect()
    return [row.asDict() for row in rows]


def test_a_rebuild_gives_what_was_there_before(lake: Lake) -> None:
    for batch in (EVENTS[:3], EVENTS[3:]):
        lake.write_bronze(batch)
        assert lake.step()
    lake.spark.sql(f"UPDATE delta.`{lake.config.silver_path(TABLE)}` SET status = 'planted'")
    ask(lake, requests.REBUILD, {})
    assert lake.versions() == []
    assert lake.step()
    assert lake.versions() == history(EVENTS)


def test_a_rebuild_releases_what_is_good_by_the_tables_of_now(lake: Lake) -> None:
    """The table was declared with a type that did not fit; in order, as if it had never been bad."""
    narrow = replace(TABLE, columns=(TABLE.columns[0], Column("status", "integer"), TABLE.columns[2]))
    told = deliveries.records(EVENTS[:2])
    told.append(deliveries.record(2, {"id": 1}, b"{not json"))
    later = [replace(event, offset=event.offset + 1) for event in EVENTS[2:]]
    log = TableLog(lake.spark, lake.config.bronze_path)
    log.append(deliveries.bronze(told, narrow), [], {"writer": "test"}, log.version)
    assert [row["error"] is None for row in bronze(lake)] == [False, False, False]
    lake.write_bronze(later)
    assert lake.step()
    assert lake.versions() == history(later)
    ask(lake, requests.REBUILD, {})
    assert lake.step()
    assert lake.versions() == history([*EVENTS[:2], *later])
    assert [row["offset"] for row in bronze(lake) if row["error"] is not None] == [2]


def test_a_snapshot_has_ended_also_when_its_last_row_is_erased(lake: Lake) -> None:
    """What it had closed stays closed."""
    before = in_order(snapshot(k1="a", k2="a", k3="a"))
    again = [
        replace(event, offset=3 + place, lsn=900, tx=900)
        for place, event in enumerate(in_order(snapshot(k1="b", k3="a")))
    ]
    gone = replace(in_order(delete(3))[0], offset=5, lsn=901, tx=901)
    for batch in (before, [*again, gone]):
        lake.write_bronze(batch)
        assert lake.step()
    ask(lake, requests.ERASE, {"public.things": [{"id": 3}]})
    assert lake.step()
    assert [(version.key, version.status, version.to_offset) for version in lake.versions()] == [
        *((1, "a", 3), (1, "b", None), (2, "a", 4)),
    ]
    ask(lake, requests.REBUILD, {})
    lake.write_bronze([replace(in_order(put(1, "c"))[0], offset=6, lsn=902, tx=902)])
    assert lake.step()
    assert [(version.key, version.to_offset) for version in lake.versions()] == [
        *((1, 3), (1, 6), (1, None), (2, 4)),
    ]
    assert not [row for row in bronze(lake) if row["error"] is not None]


@pytest.mark.parametrize("key", [2, "2"])
def test_an_erased_row_is_nowhere_and_no_offset_is_missing(lake: Lake, key: int | str) -> None:
    secret = "somebody's secret"
    events = [
        replace(event, note=secret) if event.key == 2 and event.op != "d" else event for event in EVENTS
    ]
    lake.write_bronze(events)
    lake.write_records([deliveries.record(5, {"id": 2}, f"{{bad {secret}".encode())])
    assert lake.step()
    ask(lake, requests.ERASE, {"public.things": [{"id": key}]})
    assert told(lake) == {"public.things": [True]}
    assert lake.step()
    assert lake.versions() == history([event for event in events if event.key != 2])
    rows = bronze(lake)
    assert [row["offset"] for row in rows] == list(range(6))
    assert secret not in str(rows)
    assert not [file for file in lake.config.state.iterdir() if secret.encode() in file.read_bytes()]
    assert [row["offset"] for row in rows if row["key"] is None] == [1, 3, 5]
    with pytest.raises(Exception, match="append"):
        lake.spark.sql(f"DELETE FROM delta.`{lake.config.bronze_path}`")


def test_of_which_rows_there_was_nothing_is_told(lake: Lake) -> None:
    lake.write_bronze(EVENTS)
    assert lake.step()
    ask(lake, requests.ERASE, {"public.things": [{"id": 17}, {"id": 2}, {"id": 99}]})
    assert told(lake) == {"public.things": [False, True, False]}
    assert lake.step()
    assert lake.versions() == history([event for event in EVENTS if event.key != 2])


def test_who_dies_on_the_way_tells_what_there_was_before(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write_bronze(EVENTS)
    assert lake.step()
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(silver, "empty", Mock(side_effect=KeyboardInterrupt))
        ask(lake, requests.ERASE, {"public.things": [{"id": 17}, {"id": 2}]})
    ask(lake, requests.ERASE, {"public.things": [{"id": 17}, {"id": 2}]})
    assert told(lake) == {"public.things": [False, True]}
    assert lake.step()
    assert lake.versions() == history([event for event in EVENTS if event.key != 2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"public.things": [{"id": 1}, {"number": 1}]}, "its key is id; a row's columns are number"),
        (
            {"public.things": [{"id": 1}, {"id": 1, "status": "a"}]},
            "its key is id; a row's columns are id, st",
        ),
        (
            {"public.things": [{"id": 1}, {"id": "the first"}]},
            "has other values than its key id (bigint) can",
        ),
        ({"public.things": [{"id": None}]}, "has other values than its key id (bigint) can have"),
        ({"public.things": [{"id": 1}], "public.gone": [{"id": 1}]}, "the pipeline has no table public.gone"),
        ({"public.things": {"id": 1}}, "the request has no lists of keys by table"),
    ],
)
def test_a_bad_erasure_is_told_and_changes_nothing(lake: Lake, content: object, said: str) -> None:
    lake.write_bronze(EVENTS)
    assert lake.step()
    ask(lake, requests.ERASE, content)
    assert said in told(lake)["error"]
    assert lake.step()
    assert lake.versions() == history(EVENTS)
    assert not [row for row in bronze(lake) if row["key"] is None]


def test_a_key_that_silver_does_not_have_yet_is_told(lake: Lake) -> None:
    """The primary key was changed after the request."""
    lake.write_bronze(EVENTS)
    assert lake.step()
    anew = replace(TABLE, key=("number",), columns=(*TABLE.columns, Column("number", "bigint")))
    lake.use(replace(lake.config, tables=(anew,)))
    ask(lake, requests.ERASE, {"public.things": [{"number": 1}]})
    assert "public.things: silver has no number" in told(lake)["error"]
