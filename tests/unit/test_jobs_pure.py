"""What the jobs decide without Spark: cursors, epochs, offsets, models, latencies, status, catalog."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from lakehouse import bronze, catalog, config, models, pipeline
from lakehouse.bronze import TopicState
from lakehouse.cursor import Cursor
from lakehouse.kafka import KafkaError, Topic
from lakehouse.latency import LatencyWindow
from lakehouse.scd2 import Position
from lakehouse.silver import SilverError
from lakehouse.status import LAYERS, Status, failure
from pyspark.sql import Row

ROOT = Path(__file__).resolve().parents[2]
SOURCE = config.Source("7", 1)


def test_a_cursor_keeps_the_highest_offset_of_each_partition_of_the_last_epoch() -> None:
    cursor = Cursor().past([Position("0002/b", 0, 3), Position("0001/a", 0, 90), Position("0002/b", 1, 5)])
    assert cursor == Cursor("0002/b", {0: 3, 1: 5})
    assert cursor.past([Position("0001/a", 0, 99), Position("0002/b", 0, 2)]) == cursor
    assert cursor.past([Position("0003/c", 0, 0)]) == Cursor("0003/c", {0: 0})


def test_an_epoch_lasts_until_cluster_timeline_or_topic_change() -> None:
    topic = Topic("id1", {0: 0}, {0: 9})
    first = bronze.current_epoch(TopicState(), SOURCE, topic)
    assert first == "0001/7/1/id1"
    assert bronze.current_epoch(TopicState(first), SOURCE, topic) == first
    assert bronze.current_epoch(TopicState(first), config.Source("7", 2), topic) == "0002/7/2/id1"
    assert bronze.current_epoch(TopicState(first), SOURCE, Topic("id2", {}, {})) == "0002/7/1/id2"


def test_bronze_goes_on_behind_its_last_record() -> None:
    state = TopicState("0001/7/1/id1", {0: 41})
    assert bronze.starting_offsets("t", state, Topic("id1", {0: 0, 1: 0}, {0: 50, 1: 5})) == {0: 42, 1: 0}
    assert bronze.starting_offsets("t", TopicState(), Topic("id1", {0: 0}, {0: 50})) == {0: 0}
    recreated = Topic("id2", {0: 0}, {0: 3})
    assert bronze.starting_offsets("t", state, recreated) == {0: 0}


def test_records_that_were_lost_before_bronze_began_are_said() -> None:
    with pytest.raises(KafkaError, match=r"offset 0 of t-0.*holds 7 to 60"):
        bronze.starting_offsets("t", TopicState(), Topic("id1", {0: 7}, {0: 60}))


@pytest.mark.parametrize(("earliest", "latest"), [(43, 60), (0, 30)])
def test_lost_records_are_said(earliest: int, latest: int) -> None:
    state = TopicState("0001/7/1/id1", {0: 41})
    with pytest.raises(KafkaError, match=r"offset 42 of t-0.*take a new snapshot"):
        bronze.starting_offsets("t", state, Topic("id1", {0: earliest}, {0: latest}))


def test_the_shops_models_name_their_keys_and_sources() -> None:
    found = {model.name: model for model in models.load_all(ROOT / "files" / "gold")}
    assert found["kpis"].keys == ("day",)
    assert set(found["sales_by_product_day"].sources) == {"orders", "order_items"}
    assert all(model.description for model in found.values())


FRONT = "-- keys: [a]\n-- changes: {b: 'SELECT a FROM {changes}'}\n"


def test_a_brace_that_is_meant_as_such_is_written_twice() -> None:
    found = models.parse("m", f"{FRONT}SELECT a FROM {{b}} WHERE a RLIKE '[0-9]{{{{4}}}}'")
    assert found.sources == ("b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1", "keys is None; name the key columns"),
        ("-- keys: [day]\nSELECT 1", "changes is None"),
        ("-- keys: [a]\n-- changes: {b: x}\nSELECT a FROM {c}", "the query reads ['c'], changes names ['b']"),
        ("-- keys: [\nSELECT 1", "the leading comments are no YAML"),
        (
            "-- Revenue by customer\nSELECT 1",
            "the leading comments are 'Revenue by customer'; write keys and",
        ),
        ("-- keys: [no]\nSELECT 1", "keys is [False]; name the key columns as a list, in quotes"),
        (f"{FRONT}SELECT a FROM {{b}} WHERE a LIKE '{{%'", "the query has {}, which is no table's name"),
        (
            f"{FRONT}SELECT a FROM {{b}} WHERE coalesce(a, '{{}}') > ''",
            "a brace that is meant as such is writ",
        ),
        (f"{FRONT}SELECT a FROM {{b}} WHERE a RLIKE '[0-9]{{4}}'", "the query has {4}, which is no table's"),
        ("-- keys: [a]\n-- changes: {b: 'SELECT {}'}\nSELECT a FROM {b}", "changes of b has {}, which"),
        (
            "-- keys: [a]\n-- changes: {changes: x}\nSELECT a FROM {changes}",
            "rename that table in the source",
        ),
    ],
)
def test_a_wrong_model_is_named(text: str, message: str) -> None:
    with pytest.raises(models.ModelError) as error:
        models.parse("m", text)
    assert str(error.value).startswith("m.sql: ") and message in str(error.value)


def judge_models(folder: Path, *tables: str) -> tuple[int, str, str]:
    """What site.yml does before it changes anything."""
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.models", folder, *tables],
        capture_output=True,
        text=True,
        cwd=ROOT / "files" / "spark_jobs",
    )
    return done.returncode, done.stdout, done.stderr


def test_models_are_judged_by_the_tables_that_are_captured(tmp_path: Path) -> None:
    code, _, said = judge_models(tmp_path, "sales.parcels")
    assert (
        code == 1
        and said == f"{tmp_path} holds no *.sql; set lakehouse_gold_models to the folder of the gold models\n"
    )

    model = "-- keys: [state]\n-- changes: {sales_parcels: 'SELECT state FROM {changes}'}\n"
    query = "SELECT state, count(*) AS parcels FROM {sales_parcels} GROUP BY state"
    (tmp_path / "parcels_by_state.sql").write_text(model + query + ";\n")
    code, listed, _ = judge_models(tmp_path, "sales.parcels", "sales.orders")
    assert code == 0
    assert json.loads(listed) == {"parcels_by_state": {"key": ["state"], "sql": query}}

    code, _, said = judge_models(tmp_path, "sales.orders")
    assert code == 1
    assert said.startswith(
        "parcels_by_state.sql: it reads sales_parcels, but lakehouse_tables has sales_orders; "
    )
    assert said.count("\n") == 1


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers that ran; silver fails."""
    names: list[str] = []

    def layer(name: str) -> Any:
        def run(*_: object, **__: object) -> None:
            names.append(name)
            if name == "silver":
                raise SilverError("these tables failed, see the log: public.orders")

        return lambda *_: Mock(run=run)

    monkeypatch.setattr(pipeline, "LAYER_TYPES", {name: layer(name) for name in LAYERS})
    monkeypatch.setattr(pipeline, "create_tables", Mock())
    return names


def test_gold_runs_also_when_a_table_of_silver_failed(ran: list[str]) -> None:
    with pytest.raises(SilverError, match=r"public\.orders"):
        pipeline.run_now(Mock(), Mock())
    assert ran == ["bronze", "silver", "gold"]


def test_in_a_batch_too(ran: list[str]) -> None:
    status = Status(scheduled=True)
    assert not pipeline.Batches(Mock(), Mock(), status)._batch(threading.Event())
    assert ran == ["silver", "gold"]
    assert "public.orders" in status.as_json()["layers"]["silver"]["error"]["message"]


def test_latencies_are_weighed_by_rows_and_forgotten() -> None:
    window = LatencyWindow(seconds=60)
    window.add([Row(rows=900, quantiles=[99_000] * 10), Row(rows=0, quantiles=None)], now=100)
    window.add([Row(rows=100, quantiles=[90_000] * 10)], now=100)
    found = window.quantiles(now=100)
    assert found is not None
    assert (found.p50, found.p95, found.rows) == (1, 10, 1000)
    assert window.quantiles(now=161) is None


def test_status_tells_the_worst_and_how_fresh(tmp_path: Path) -> None:
    status = Status()
    for layer in ("bronze", "silver", "gold"):
        status.running(layer)
    assert status.as_json()["state"] == "running"
    assert status.source_as_of("silver") is None
    status.complete("silver", status.source_as_of("silver"))
    assert status.as_json()["layers"]["silver"]["freshness_seconds"] is None
    status.complete("bronze", 1000.0)
    status.complete("silver", status.source_as_of("silver"))
    status.table("orders", **failure(ValueError("no such column\nat …")))
    status.write(tmp_path / "status.json")
    written = json.loads((tmp_path / "status.json").read_text())
    assert written["state"] == "failed"
    assert written["tables"]["orders"]["error"]["message"].startswith("ValueError: no such column")
    assert (
        written["layers"]["silver"]["freshness_seconds"] == written["layers"]["bronze"]["freshness_seconds"]
    )
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o644


def test_the_catalog_needs_no_spark(tmp_path: Path) -> None:
    settings = {
        "storage": "file:///lake",
        "kafka": {"bootstrap_servers": "k:9092", "topic_prefix": "cdc"},
        "source": {"system_id": "7", "timeline": 1},
        "tables": [{"name": "public.orders", "key": ["id"], "columns": [{"name": "id", "type": "bigint"}]}],
        "gold_models": str(ROOT / "files" / "gold"),
        "status_file": "/run/status.json",
        "state": "/var/lib/heads",
    }
    path = tmp_path / "pipeline.yml"
    path.write_text(yaml.safe_dump(settings))
    code = "import sys; sys.modules['pyspark'] = None; import main; sys.exit(main.main())"
    command = [sys.executable, "-c", code, "catalog", "--config", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT / "files" / "spark_jobs"
    )
    offered = json.loads(done.stdout)
    assert offered == catalog.entries(config.load(path))
    by_name = {f"{entry['database']}.{entry['name']}": entry for entry in offered}
    assert by_name["silver.orders_versions"]["location"] == "file:///lake/silver/orders"
    assert (
        by_name["silver.orders"]["query"]
        == "SELECT `id` FROM silver.`orders_versions` WHERE _head AND is_current"
    )
    views = ["query" in entry for entry in offered]
    assert views == sorted(views), "tables come before the views on them"


def test_a_wrong_setting_ends_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yml"
    path.write_text("storage: file:///lake\n")
    main = ROOT / "files" / "spark_jobs" / "main.py"
    done = subprocess.run(
        [sys.executable, str(main), "silver", "--config", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: kafka is missing; set it\n"
