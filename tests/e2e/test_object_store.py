"""The lab's object store honours the precondition that Delta's commits rest on, and is asked little."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml

from tests.e2e.running_lab import ROOT, Lab
from tools.store_requests import LAYERS, STORE, Listening

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
    listening = Listening(("node2", "node3"))
    time.sleep(SECONDS)
    asked = listening.asked()
    assert min(asked.commits[layer] for layer in LAYERS) >= 3
    average = {
        layer: {kind: round(counts[kind] / asked.commits[layer], 1) for kind in ("class_a", "class_b")}
        for layer, counts in asked.by_class.items()
    }
    print("ASKED", json.dumps({"commits": asked.commits, "requests": average, "no layer": asked.of_no_layer}))
    settings = yaml.safe_load((ROOT / "inventories/gcp/group_vars/all.yml").read_text(encoding="utf-8"))
    for layer, estimate in settings["gcp_requests_per_batch"].items():
        assert average[layer]["class_a"] <= estimate["class_a"], average
        assert average[layer]["class_b"] <= estimate["class_b"], average
