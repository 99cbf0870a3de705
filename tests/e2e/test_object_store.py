"""The lab's object store honours the precondition that Delta's commits rest on, and is asked little."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.e2e.running_lab import ROOT, STORE, Lab

LISTENER = Path(__file__).with_name("store_requests.py").read_text()
SECONDS = 120
RACES = 50
WRITERS = 4
PROGRAM = """
import collections, json, sys, threading, urllib.error, urllib.request

store, bucket, kind, races, writers = sys.argv[1:4] + [int(word) for word in sys.argv[4:6]]
url = f"{store}/upload/storage/v1/b/{bucket}/o?uploadType={kind}&ifGenerationMatch=0&name=_race/{kind}-"


def send(address, body, method="POST"):
    headers = {"content-type": "text/plain"}
    request = urllib.request.Request(address, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers.get("location")
    except urllib.error.HTTPError as error:
        return error.code, None


def write(race, writer, start, answers):
    body = f"{race}-{writer}".encode()
    if kind == "media":
        start.wait(30)
        answers.append((send(f"{url}{sys.argv[6]}-{race}", body)[0], writer))
        return
    status, session = send(f"{url}{sys.argv[6]}-{race}", b"")
    start.wait(30)
    answers.append((send(session, body, "PUT")[0] if session else status, writer))


outcomes = []
for race in range(races):
    start, answers = threading.Barrier(writers), []
    threads = [threading.Thread(target=write, args=(race, n, start, answers)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    name = f"_race%2F{kind}-{sys.argv[6]}-{race}"
    with urllib.request.urlopen(f"{store}/storage/v1/b/{bucket}/o/{name}?alt=media", timeout=30) as answer:
        content = answer.read().decode()
    send(f"{store}/storage/v1/b/{bucket}/o/{name}", None, "DELETE")
    outcomes.append({"winners": [n for status, n in answers if status == 200],
                     "others": sorted(status for status, n in answers if status != 200),
                     "content": content})
print(json.dumps(outcomes))
"""


@pytest.mark.usefixtures("no_traffic")
@pytest.mark.parametrize("kind", ["media", "resumable"])
def test_one_creator_wins(lab: Any, kind: str, request: pytest.FixtureRequest) -> None:
    """Of creators that race for a new object exactly one wins, its content stays, the others are told."""
    words = [STORE, "lakehouse", kind, str(RACES), str(WRITERS), str(id(request))]
    outcomes = json.loads(lab.run("node1", "python3", "-c", PROGRAM, *words))
    assert len(outcomes) == RACES
    for race, outcome in enumerate(outcomes):
        assert len(outcome["winners"]) == 1, outcome
        assert outcome["content"] == f"{race}-{outcome['winners'][0]}"
        assert outcome["others"] == [412] * (WRITERS - 1)


@pytest.mark.long
def test_a_batch_asks_for_no_more_than_the_cost_estimate_takes(lab: Lab) -> None:
    """The requests while the shop has traffic, for each commit of a layer."""
    listeners = [listener(node) for node in ("node2", "node3")]
    time.sleep(SECONDS)
    requests = [request for process in listeners for request in json.loads(process.communicate()[0])]
    commits: Counter[str] = Counter()
    others = 0
    asked: dict[str, Counter[str]] = {layer: Counter() for layer in ("bronze", "silver", "gold")}
    for method, path in requests:
        layer, kind = layer_of(path), class_of(method, path)
        others += layer not in asked
        if layer in asked:
            asked[layer][kind] += 1
            commits[layer] += kind == "class_a" and bool(
                re.search(r"_delta_log/\d{20}\.json\b", unquote(path))
            )
    assert min(commits[layer] for layer in asked) >= 3
    average = {
        layer: {kind: round(counts[kind] / commits[layer], 1) for kind in ("class_a", "class_b")}
        for layer, counts in asked.items()
    }
    print("ASKED", json.dumps({"commits": commits, "requests": average, "of no layer": others}))
    settings = yaml.safe_load((ROOT / "inventories/gcp/group_vars/all.yml").read_text(encoding="utf-8"))
    for layer, estimate in settings["gcp_requests_per_batch"].items():
        assert average[layer]["class_a"] <= estimate["class_a"], average
        assert average[layer]["class_b"] <= estimate["class_b"], average


def listener(node: str) -> subprocess.Popen[str]:
    """Begin to listen to what a node asks the store."""
    address, port = STORE.removeprefix("http://").split(":")
    command = ["docker", "exec", "-i", f"cdc-lakehouse-{node}", "python3", "-c", LISTENER, address, port]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == "listening\n"
    return process


def layer_of(path: str) -> str:
    """The first folder of the object or listing that a request is about; empty if there is none."""
    found = re.search(r"/b/lakehouse/o(?:/|\?(?:.*&)?(?:name|prefix)=)([^/&?]+)", unquote(path))
    return found[1] if found else ""


def class_of(method: str, path: str) -> str:
    """How Google bills a request ("Operation charges"): an upload counts once, a deletion not at all."""
    if method == "DELETE" or "upload_id=" in path:
        return "free"
    listing = method == "GET" and urlsplit(path).path.endswith("/o")
    return "class_a" if listing or method != "GET" else "class_b"
