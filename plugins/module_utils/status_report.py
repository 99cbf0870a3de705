# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""One picture of the whole lakehouse from the readings of its parts, and what is wrong in it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LAYERS = ("bronze", "silver", "gold")
GIB = 1024**3
THRIFT = "on the host of the Thrift Server: journalctl -u spark-thrift -n 50"
JOURNAL = "on the host of the pipeline: journalctl -u lakehouse-pipeline -n 50"


@dataclass(frozen=True)
class Limits:
    """From where on something is called unhealthy.

    Attributes:
        node_memory_bytes: What the processes of a node may hold.
        disk_share: How full a disk may be.
        freshness_seconds: How old a layer's newest complete state may be.
        status_age_seconds: How old the pipeline's own account may be.
        delivered_seconds: How long ago that may have been committed which Debezium delivered last.
    """

    node_memory_bytes: int
    freshness_seconds: float
    disk_share: float = 0.9
    status_age_seconds: float = 15
    delivered_seconds: float = 120


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, and the way out."""

    what: str
    do: str


def report(
    nodes: Mapping[str, Mapping[str, Any]],
    stream: Mapping[str, Any],
    card: Mapping[str, Any],
    limits: Limits,
) -> dict[str, Any]:
    """Put everything together.

    Args:
        nodes: What node_status says of each node; without `units` for a node that did not answer.
        stream: What stream_status says; nothing when the host of the pipeline did not answer.
        card: How the run of a card's query by `lakehouse-sql --json` ended (rc, stdout, stderr).
        limits: From where on something is unhealthy.
    """
    query, refused = _answer(card)
    pipeline = stream.get("pipeline", {})
    nodes = {name: node if "units" in node else {} for name, node in nodes.items()}
    problems = [
        *(problem for name, node in nodes.items() for problem in _node_problems(name, node, limits)),
        *_stream_problems(stream, limits),
        *([Problem(f"a dashboard's query fails: {refused}", THRIFT)] if refused else []),
    ]
    return {
        "at": stream.get("now"),
        "healthy": not problems,
        "problems": [asdict(problem) for problem in problems],
        "nodes": {
            name: {key: node[key] for key in ("units", "resident_bytes", "disks")} if node else None
            for name, node in nodes.items()
        },
        "slot": stream.get("slot") or None,
        "kafka_lag_records": pipeline.get("kafka", {}).get("total_lag"),
        "layers": pipeline.get("layers", {}),
        "card": query and _card(query, pipeline.get("layers", {})),
        "tables": pipeline.get("tables", {}),
        "models": pipeline.get("models", {}),
        "quality": pipeline.get("quality", {}),
        "quarantine": pipeline.get("quarantine", {}),
        "files": pipeline.get("files", {}),
    }


def _answer(card: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The result of the card's query, or why there is none."""
    if card.get("rc") == 124:
        return None, "no answer within a minute"
    try:
        (result,) = json.loads(card["stdout"])
    except (KeyError, ValueError):
        return None, card.get("stderr") or card.get("msg") or "the host of the Thrift Server did not tell"
    return (None, result["error"]) if "error" in result else (result, "")


def _card(query: Mapping[str, Any], layers: Mapping[str, Any]) -> dict[str, Any]:
    """How long the query takes, and a commit until the query's result shows it: to gold, and the query.

    The Thrift Server reads a table's newest state with each query.
    """
    to_gold = layers.get("gold", {}).get("latency_seconds")
    return {
        "query_seconds": query["seconds"],
        "latency_seconds": to_gold
        and {name: round(to_gold[name] + query["seconds"], 3) for name in ("p50", "p95")},
    }


def _node_problems(name: str, node: Mapping[str, Any], limits: Limits) -> Iterator[Problem]:
    if not node:
        yield Problem(
            f"{name} does not answer", f"start the machine, then try: ansible {name} -m ansible.builtin.ping"
        )
        return
    for unit, state in node["units"].items():
        if state["state"] != "active":
            yield Problem(
                f"{unit} on {name} is {state['state']}",
                f"on {name}: journalctl -u {unit} -n 50; then site.yml",
            )
    if node["resident_bytes"] > limits.node_memory_bytes:
        held, budget = gib(node["resident_bytes"]), gib(limits.node_memory_bytes)
        yield Problem(
            f"the processes of {name} hold {held} of {budget}",
            "move a service to another host, or lower its memory",
        )
    for disk in node["disks"]:
        if disk["used_bytes"] > disk["total_bytes"] * limits.disk_share:
            share = 100 * disk["used_bytes"] / disk["total_bytes"]
            yield Problem(
                f"the disk of {disk['path']} on {name} is {share:.0f} % full", "free space or enlarge it"
            )


def _stream_problems(stream: Mapping[str, Any], limits: Limits) -> Iterator[Problem]:
    if "now" not in stream:
        yield Problem(
            "nothing is known about the stream: the host of the pipeline did not tell", "run site.yml"
        )
    asked = stream.get("problems", {})
    if "source" in asked:
        yield Problem(
            f"the source's slot: {asked['source']}",
            "see that PostgreSQL and debezium run; Debezium makes the slot",
        )
    if "pipeline" in asked:
        yield Problem(f"the pipeline: {asked['pipeline']}", JOURNAL)
    slot, pipeline = stream.get("slot"), stream.get("pipeline")
    if slot and not slot["active"]:
        yield Problem("nobody reads the replication slot", "journalctl -u debezium -n 50")
    if slot and slot["wal_status"] in ("unreserved", "lost"):
        yield Problem(
            f"the replication slot's WAL is {slot['wal_status']}: Debezium was away for too long",
            "docs/operations.md, 'The slot has lost its WAL'",
        )
    if slot and (slot["delivered_seconds"] or 0) > limits.delivered_seconds:
        yield Problem(
            f"Debezium delivered last what was committed {seconds(slot['delivered_seconds'])} ago",
            "it takes a snapshot, or waits for Kafka: journalctl -u debezium -n 50, systemctl status kafka",
        )
    if pipeline:
        yield from _pipeline_problems(pipeline, limits, stream["now"])


def _pipeline_problems(pipeline: Mapping[str, Any], limits: Limits, now: float) -> Iterator[Problem]:
    age = now - pipeline["written_at"]
    if age > limits.status_age_seconds:
        yield Problem(f"the pipeline has said nothing for {age:.0f} s", JOURNAL)
        return
    if pipeline.get("maintenance", {}).get("state") == "failed":
        yield Problem(
            f"old files are not deleted, storage grows: {_message(pipeline['maintenance'])}",
            "it is tried again within an hour; " + JOURNAL,
        )
    # On a schedule they are as old as it makes them; systemd tells whether its timer runs.
    waiting = ("silver", "gold") if pipeline.get("scheduled") else ()
    for layer in LAYERS:
        state = pipeline["layers"][layer]
        if state["state"] == "failed":
            yield Problem(
                f"{layer} failed: {_message(state)}", "it is tried again; journalctl -u lakehouse-pipeline"
            )
        elif state["freshness_seconds"] is None:
            yield Problem(f"{layer} has not caught up since the pipeline started", JOURNAL)
        elif state["freshness_seconds"] > limits.freshness_seconds and layer not in waiting:
            yield Problem(
                f"{layer} is {seconds(state['freshness_seconds'])} old",
                JOURNAL,
            )
    for kind in ("tables", "models"):
        for name, state in pipeline.get(kind, {}).items():
            if state.get("state") == "failed":
                yield Problem(
                    f"{name} failed: {_message(state)}", "the others go on; journalctl -u lakehouse-pipeline"
                )
    for name, state in pipeline.get("quality", {}).items():
        if state.get("state") == "failed":
            yield Problem(
                f"the quality rules of {name} are not counted: {_message(state)}",
                "everything else goes on; journalctl -u lakehouse-pipeline",
            )


def _message(state: Mapping[str, Any]) -> str:
    return str((state.get("error") or {}).get("message", "no reason given"))


def gib(size: int) -> str:
    """A size in GiB."""
    return f"{size / GIB:.1f} GiB"


def seconds(value: float | None) -> str:
    """A duration."""
    return "-" if value is None else f"{value:.1f} s"


def age(since: int | None, now: float) -> str:
    """How long ago something was, in the largest unit that says something."""
    if since is None:
        return "-"
    passed = int(now - since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= 2 * size:
            return f"{passed // size} {unit}"
    return f"{passed} s"


def screen(picture: Mapping[str, Any]) -> str:
    """The picture, on one screen."""
    now = picture["at"] or time.time()
    lines = ["healthy" if picture["healthy"] else "NOT HEALTHY", ""]
    lines += _table(["node", "service", "state", "since", "restarts"], _service_rows(picture["nodes"], now))
    lines += ["", *_table(["node", "memory held", "disk", "used", "of"], _resource_rows(picture["nodes"]))]
    slot, lag = picture["slot"], picture["kafka_lag_records"]
    behind = (
        f"{slot['lag_bytes']:,} bytes behind, WAL {slot['wal_status']}, "
        f"delivered up to {seconds(slot['delivered_seconds'])} ago"
        if slot
        else "unknown"
    )
    lines += [
        "",
        f"slot: {behind}; Kafka: {'unknown' if lag is None else f'{lag:,} records'} not in bronze",
        "",
    ]
    lines += _table(
        ["layer", "state", "age", "commit to layer p50", "p95", "batches", "restarts"], _layer_rows(picture)
    )
    if picture["card"]:
        lines += ["", _card_line(picture["card"])]
    lines += ["", *_file_lines(picture["files"]), *_quality_lines(picture["quality"])]
    lines += _quarantine_lines(picture["quarantine"])
    for problem in picture["problems"]:
        lines += ["", f"! {problem['what']}", f"  -> {problem['do']}"]
    return "\n".join(lines)


def _service_rows(nodes: Mapping[str, Any], now: float) -> Iterator[list[str]]:
    for name, node in nodes.items():
        for unit, state in (node or {"units": {"-": {"state": "no answer", "since": None, "restarts": 0}}})[
            "units"
        ].items():
            yield [name, unit, state["state"], age(state["since"], now), str(state["restarts"])]


def _resource_rows(nodes: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, node in nodes.items():
        for index, disk in enumerate(node["disks"] if node else []):
            first = [name, gib(node["resident_bytes"])] if index == 0 else ["", ""]
            yield [*first, disk["path"], gib(disk["used_bytes"]), gib(disk["total_bytes"])]


def _layer_rows(picture: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, state in picture["layers"].items():
        latency = state["latency_seconds"] or {"p50": None, "p95": None}
        times = [seconds(state["freshness_seconds"]), seconds(latency["p50"]), seconds(latency["p95"])]
        yield [name, state["state"], *times, str(state["batches"]), str(state["restarts"])]


def _card_line(card: Mapping[str, Any]) -> str:
    latency = card["latency_seconds"] or {"p50": None, "p95": None}
    times = f"p50 {seconds(latency['p50'])}, p95 {seconds(latency['p95'])}"
    query = f"a card's query takes {seconds(card['query_seconds'])}"
    return f"dashboards: {query}; commit to its result (to gold, and the query) {times}"


def _file_lines(files: Mapping[str, int]) -> Iterator[str]:
    for layer in LAYERS:
        of_layer = sorted(name for name in files if name.startswith(f"{layer}."))
        if of_layer:
            yield f"files in {layer}: " + ", ".join(
                f"{name.removeprefix(f'{layer}.')} {files[name]}" for name in of_layer
            )


def _quality_lines(quality: Mapping[str, Any]) -> Iterator[str]:
    rules = {
        f"{table} {rule}": rows
        for table, state in quality.items()
        for rule, rows in state.get("broken_rows", {}).items()
    }
    if rules:
        broken = ", ".join(f"{rule} {rows:,}" for rule, rows in rules.items() if rows)
        yield f"quality rules: {len(rules)}; rows that break one: {broken or 'none'}"


def _quarantine_lines(quarantine: Mapping[str, int]) -> Iterator[str]:
    if quarantine:
        held = ", ".join(f"{table} {records:,}" for table, records in quarantine.items() if records)
        yield f"records in quarantine: {f'{held}, see bronze.quarantine' if held else 'none'}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [head, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
