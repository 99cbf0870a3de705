"""What the status calls unhealthy, and what it shows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.cdc.lakehouse.plugins.module_utils.node import units_from_show
from ansible_collections.cdc.lakehouse.plugins.module_utils.status_report import GIB, Limits, report, screen

NOW = 1_795_000_000.0
LIMITS = Limits(node_memory_bytes=8 * GIB, freshness_seconds=60)
LAYER = {
    "state": "running",
    "restarts": 0,
    "batches": 7,
    "error": None,
    "freshness_seconds": 2.5,
    "latency_seconds": {"p50": 3.1, "p95": 4.2, "rows": 90},
}
NODES = {
    "node1": {
        "units": {"kafka": {"state": "active", "since": int(NOW) - 7300, "restarts": 1, "main_pid": 7}},
        "resident_bytes": 3 * GIB,
        "disks": [{"path": "/", "total_bytes": 50 * GIB, "used_bytes": 10 * GIB}],
    }
}
STREAM = {
    "now": NOW,
    "slot": {"active": True, "wal_status": "reserved", "lag_bytes": 1234, "delivered_seconds": 3.2},
    "problems": {},
    "pipeline": {
        "written_at": NOW - 1,
        "layers": {name: copy.deepcopy(LAYER) for name in ("bronze", "silver", "gold")},
        "tables": {"orders": {"state": "running"}},
        "models": {"kpis": {"state": "running"}},
        "quality": {
            "orders": {"state": "running", "broken_rows": {"amount_range": 1234, "status_in": 0}},
            "products": {"state": "running", "broken_rows": {"price_range": 0}},
        },
        "quarantine": {"public.orders": 2, "public.products": 0},
        "files": {"silver.orders": 4, "gold.kpis": 1},
        "kafka": {"lag": {"cdc.public.orders": 5}, "total_lag": 5},
    },
}

CARD = {"rc": 0, "stdout": '[{"columns": [], "rows": [], "seconds": 0.75}]', "stderr": ""}

Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def test_a_healthy_lakehouse_has_no_problem_and_is_shown_on_one_screen() -> None:
    picture = report(NODES, STREAM, CARD, LIMITS)
    assert (picture["healthy"], picture["problems"]) == (True, [])
    shown = screen(picture)
    assert shown.startswith("healthy\n")
    for part in (
        "kafka",
        "2 h",
        "3.0 GiB",
        "1,234 bytes behind",
        "5 records",
        "3.1 s",
        "in silver: orders 4",
        "in gold: kpis 1",
        "a card's query takes 0.8 s; commit to its result (to gold, and the query) p50 3.9 s, p95 5.0 s",
        "quality rules: 3; rows that break one: orders amount_range 1,234",
        "records in quarantine: public.orders 2, see bronze.quarantine",
    ):
        assert part in shown
    assert "status_in" not in shown
    assert len(shown.splitlines()) < 40
    assert picture["quality"]["orders"]["broken_rows"]["amount_range"] == 1234


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda nodes, stream: nodes["node1"]["units"]["kafka"].update(state="failed"),
            "kafka on node1 is failed",
        ),
        (lambda nodes, stream: nodes.update(node2={}), "node2 does not answer"),
        (lambda nodes, stream: nodes["node1"].update(resident_bytes=9 * GIB), "9.0 GiB of 8.0 GiB"),
        (lambda nodes, stream: nodes["node1"]["disks"][0].update(used_bytes=46 * GIB), "92 % full"),
        (lambda nodes, stream: stream["slot"].update(active=False), "nobody reads the replication slot"),
        (lambda nodes, stream: stream["slot"].update(wal_status="lost"), "WAL is lost"),
        (
            lambda nodes, stream: stream["slot"].update(delivered_seconds=121.0),
            "delivered last what was committed 121.0 s ago",
        ),
        (lambda nodes, stream: stream.update(slot={}, problems={"source": "refused"}), "slot: refused"),
        (lambda nodes, stream: stream.update(pipeline={}, problems={"pipeline": "no file"}), "no file"),
        (lambda nodes, stream: stream["pipeline"].update(written_at=NOW - 60), "said nothing for 60 s"),
        (
            lambda nodes, stream: stream["pipeline"]["layers"]["gold"].update(freshness_seconds=99.0),
            "gold is 99.0 s old",
        ),
        (
            lambda nodes, stream: stream["pipeline"]["layers"]["silver"].update(freshness_seconds=None),
            "silver has not caught up",
        ),
        (
            lambda nodes, stream: stream["pipeline"]["layers"]["bronze"].update(
                state="failed", error={"message": "KafkaError: gone"}
            ),
            "bronze failed: KafkaError: gone",
        ),
        (
            lambda nodes, stream: stream["pipeline"]["tables"]["orders"].update(
                state="failed", error={"message": "ValueError: x"}
            ),
            "orders failed: ValueError: x",
        ),
        (
            lambda nodes, stream: stream["pipeline"]["quality"]["orders"].update(
                state="failed", error={"message": "ValueError: x"}
            ),
            "the quality rules of orders are not counted: ValueError: x",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(change: Change, said: str) -> None:
    nodes, stream = copy.deepcopy(NODES), copy.deepcopy(STREAM)
    change(nodes, stream)
    picture = report(nodes, stream, CARD, LIMITS)
    assert not picture["healthy"]
    (problem,) = picture["problems"]
    assert said in problem["what"]
    assert problem["do"]
    shown = screen(picture)
    assert shown.startswith("NOT HEALTHY")
    assert problem["what"] in shown and problem["do"] in shown


def test_a_silent_host_of_the_pipeline_leaves_the_rest_readable() -> None:
    picture = report({**NODES, "node2": {}}, {}, {}, LIMITS)
    assert "kafka" in screen(picture)
    assert not picture["healthy"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (
            {"rc": 1, "stdout": "", "stderr": "No access to the Thrift Server"},
            "No access to the Thrift Server",
        ),
        ({"rc": 0, "stdout": '[{"error": "no such table", "seconds": 1}]'}, "no such table"),
        ({"rc": 124, "stdout": "", "stderr": ""}, "no answer within a minute"),
        ({"msg": "no program lakehouse-sql"}, "no program lakehouse-sql"),
        ({}, "did not tell"),
    ],
)
def test_a_card_without_an_answer_is_a_problem(card: dict[str, Any], said: str) -> None:
    picture = report(NODES, STREAM, card, LIMITS)
    (problem,) = picture["problems"]
    assert said in problem["what"]
    assert picture["card"] is None
    assert said in screen(picture)


def test_before_anything_came_to_gold_a_card_has_no_latency() -> None:
    stream = copy.deepcopy(STREAM)
    stream["pipeline"]["layers"]["gold"]["latency_seconds"] = None  # type: ignore[index]
    picture = report(NODES, stream, CARD, LIMITS)
    assert picture["card"] == {"query_seconds": 0.75, "latency_seconds": None}
    assert "commit to its result (to gold, and the query) p50 -, p95 -" in screen(picture)


def test_units_are_read_as_systemd_shows_them() -> None:
    text = """MainPID=23
NRestarts=2
Id=kafka.service
LoadState=loaded
ActiveState=active
ActiveEnterTimestamp=@1795415856

MainPID=0
NRestarts=0
Id=nope.service
LoadState=not-found
ActiveState=inactive
ActiveEnterTimestamp=
"""
    assert units_from_show(text) == {
        "kafka": {"state": "active", "since": 1795415856, "restarts": 2, "main_pid": 23},
        "nope": {"state": "missing", "since": None, "restarts": 0, "main_pid": 0},
    }
