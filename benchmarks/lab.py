"""The lab as `make up` makes it: how long that takes, how old changes get, what it asks and takes at rest.

It is brought up for this, and goes down again with its data kept. Its three nodes share this machine's
cores. The shop's traffic is the lab's own, some ten changes a second, and the triggers are the defaults.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks import cards
from benchmarks.measure import Measure, cpu_seconds
from tools.store_requests import LAYERS, Asked, Listening

_ROOT = Path(__file__).resolve().parents[1]
_RUNS = 5
_BUSY_SECONDS, _IDLE_SECONDS = 60.0, 20.0
_AGES = """
SELECT percentile(age, 0.5) AS p50, percentile(age, 0.95) AS p95 FROM (
  SELECT (unix_micros(kafka_timestamp) - unix_micros(source_ts)) / 1000 AS age,
    ntile({runs}) OVER (ORDER BY offset) AS run
  FROM bronze.change_events
  WHERE source_table = 'public.orders' AND op IN ('c', 'u') AND source_ts > timestamp_seconds({since})
) GROUP BY run
"""


def run(_: SparkSession) -> Iterator[Measure]:
    """Measures.

    Raises:
        subprocess.CalledProcessError: A command that it takes failed; what it said is on the screen.
    """
    refuse_running()
    began = time.monotonic()
    _make("up")
    yield Measure("make up", "s", [time.monotonic() - began], at_most=300)
    try:
        yield from _busy()
        yield from cards.run(_on)
        yield from _memory()
        yield from _idle()
        yield _second_run()
    finally:
        _make("down")


def refuse_running() -> None:
    """Refuses to go on while the lab runs: it takes the cores from what is measured here.

    Raises:
        SystemExit: It runs.
    """
    command = ["docker", "ps", "--quiet", "--filter", "name=^cdc-lakehouse-"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except FileNotFoundError:  # no Docker yet
        return
    if found:
        raise SystemExit("The lab runs and shares the cores. `make down` keeps its data; then measure.")


def _busy() -> Iterator[Measure]:
    """Under the lab's own traffic."""
    since = int(time.time())
    asked = []
    for number in range(_RUNS):
        print(f"\r  the lab with traffic, {number + 1} of {_RUNS}", end="", flush=True)
        asked.append(_asked(_BUSY_SECONDS))
    print(flush=True)
    ages = _sql(_AGES.format(runs=_RUNS, since=since))
    for name, goal in (("p50", 50), ("p95", 80)):
        yield Measure(f"commit to Kafka: {name}", "ms", [float(row[name]) for row in ages], at_most=goal)
    told = json.loads(_on("node2", "cat", "/run/lakehouse-pipeline/status.json"))
    for layer, facts in told["layers"].items():
        for name in ("p50", "p95"):
            yield Measure(f"commit to {layer} on the lab: {name}", "s", [facts["latency_seconds"][name]])
    each = [
        {layer: one.by_class[layer].total() / max(1, one.commits[layer]) for layer in LAYERS} for one in asked
    ]
    for layer in LAYERS:
        yield Measure(f"requests, a commit of {layer}", "requests", [one[layer] for one in each])
    # What gold and the dashboards read of the tables is theirs.
    through = [
        sum(now[layer] - one.scans[layer] / max(1, one.commits[layer]) for layer in ("bronze", "silver"))
        for now, one in zip(each, asked, strict=True)
    ]
    yield Measure("requests, a table's micro-batch through silver", "requests", through, at_most=40)
    yield Measure("requests, the last such run less the first", "requests", [through[-1] - through[0]])


def _memory() -> Iterator[Measure]:
    """What the services hold after they have been busy."""
    for node in ("node1", "node2", "node3"):
        taken: Counter[str] = Counter()
        for line in _on(node, "ps", "-eo", "rss=,unit=").splitlines():
            resident, unit = line.split()
            taken[unit] += int(resident)
        for unit, kilobytes in taken.most_common():
            if kilobytes > 50_000:
                yield Measure(
                    f"memory of {unit.removesuffix('.service')} on {node}", "MB", [kilobytes / 1000]
                )


def _idle() -> Iterator[Measure]:
    """While nobody changes anything."""
    with _no_traffic():
        _wait_for_rest()
        asked, shares = [], []
        for number in range(_RUNS):
            print(f"\r  the lab at rest, {number + 1} of {_RUNS}", end="", flush=True)
            before, began = _debezium_cpu(), time.monotonic()
            asked.append(float(_asked(_IDLE_SECONDS).total))
            shares.append(100 * (_debezium_cpu() - before) / (time.monotonic() - began))
        print(flush=True)
    yield Measure("requests at rest, 20 s", "requests", asked, at_most=0)
    yield Measure("Debezium at rest", "% of a core", shares, at_most=2)


def _second_run() -> Measure:
    times = []
    for number in range(_RUNS):
        print(f"\r  site.yml again, {number + 1} of {_RUNS}", end="", flush=True)
        began = time.monotonic()
        _output("ansible-playbook", "playbooks/site.yml")
        times.append(time.monotonic() - began)
    print(flush=True)
    return Measure("site.yml again", "s", times, at_most=60)


@contextmanager
def _no_traffic() -> Iterator[None]:
    _on("node1", "systemctl", "stop", "data-generator")
    try:
        yield
    finally:
        _on("node1", "systemctl", "start", "data-generator")


def _wait_for_rest() -> None:
    """Until what came last is everywhere."""
    deadline = time.monotonic() + 600
    while _asked(_IDLE_SECONDS).total and time.monotonic() < deadline:
        print("\r  waiting for the lab to rest", end="", flush=True)


def _asked(seconds: float) -> Asked:
    listening = Listening(("node2", "node3"))
    time.sleep(seconds)
    return listening.asked()


def _debezium_cpu() -> float:
    process = _on("node1", "systemctl", "show", "--value", "-p", "MainPID", "debezium").strip()
    return cpu_seconds(_on("node1", "cat", f"/proc/{process}/stat"))


def _sql(query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_on("node2", "lakehouse-sql", query))))


def _on(node: str, *words: str) -> str:
    return _output("docker", "exec", f"cdc-lakehouse-{node}", *words)


def _make(target: str) -> None:
    subprocess.run(["make", "--no-print-directory", target], cwd=_ROOT, check=True)  # noqa: S603, S607


def _output(*words: str) -> str:
    done = subprocess.run(words, cwd=_ROOT, text=True, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return done.stdout
