"""The cleaning of the tables' files."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from deliveries import TABLE
from lakehouse import config, former
from lakehouse.maintenance import Maintenance
from oracle import history
from pyspark.sql import SparkSession
from streams import in_order, put
from test_requests import MODEL
from test_silver import Lake

pytestmark = pytest.mark.slow

AT_ONCE = "'delta.deletedFileRetentionDuration' = 'interval 0 hours'"
EVENTS = in_order(put(1, "a", op="c"), put(1, "b"), put(2, "a", op="c"), put(1, "c"), put(2, "b"))


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    (tmp_path / "of_things.sql").write_text(MODEL)
    return Lake(spark, tmp_path)


def files(lake: Lake) -> set[str]:
    """The data files of silver's table that are on disk."""
    return {
        file.name for file in Path(lake.config.silver_path(TABLE).removeprefix("file://")).rglob("*.parquet")
    }


def used(lake: Lake) -> set[str]:
    rows = lake.spark.read.format("delta").load(lake.config.silver_path(TABLE))
    return {Path(file).name for file in rows.inputFiles()}


def test_files_that_nobody_needs_any_more_are_deleted_and_nothing_else(lake: Lake) -> None:
    for event in EVENTS:
        lake.write_bronze([event])
        assert lake.step()
    path = lake.config.silver_path(TABLE)
    lake.spark.sql(f"OPTIMIZE delta.`{path}`")
    assert files(lake) > used(lake)
    maintenance = Maintenance(lake.spark, lake.config, lake.status)
    maintenance.step()
    assert files(lake) > used(lake)  # they left the table just now: somebody may read them
    lake.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ({AT_ONCE})")
    maintenance.step()
    assert {name for name in files(lake) if not name.endswith(".checkpoint.parquet")} == used(lake)
    assert lake.versions() == history(EVENTS)
    assert lake.status.as_json()["maintenance"]["error"] is None


def test_the_files_of_a_table_that_is_not_listed_any_more_are_deleted_too(lake: Lake) -> None:
    former.note(lake.config)
    for event in EVENTS:
        lake.write_bronze([event])
        assert lake.step()
    path = lake.config.silver_path(TABLE)
    lake.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ({AT_ONCE})")
    lake.spark.sql(f"OPTIMIZE delta.`{path}`")
    assert files(lake) > used(lake)
    Maintenance(lake.spark, replace(lake.config, tables=(replace(TABLE, name="a.b"),)), lake.status).step()
    assert {name for name in files(lake) if not name.endswith(".checkpoint.parquet")} == used(lake)


def test_it_is_due_when_the_last_time_is_long_ago_also_after_a_restart(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(lake.config, triggers=config.Triggers(maintenance=3600))
    stop, cleaned = threading.Event(), []

    def step(maintenance: Maintenance) -> None:
        cleaned.append(time.time())
        stop.set()

    monkeypatch.setattr(Maintenance, "step", step)
    monkeypatch.setattr(stop, "wait", lambda _: stop.set())
    Maintenance(lake.spark, settings, lake.status).run(stop)
    assert not cleaned  # a new lake
    stop.clear()
    os.utime(settings.state / "maintained", (time.time() - 3601,) * 2)
    Maintenance(lake.spark, settings, lake.status).run(stop)
    assert len(cleaned) == 1


def test_a_failure_is_told(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(Maintenance, "_due", True)
    monkeypatch.setattr(Maintenance, "step", lambda _: 1 / 0)
    monkeypatch.setattr(stop, "wait", lambda _: stop.set())
    Maintenance(lake.spark, lake.config, lake.status).run(stop)
    told = lake.status.as_json()["maintenance"]
    assert told["state"] == "failed"
    assert "ZeroDivisionError" in told["error"]["message"]
