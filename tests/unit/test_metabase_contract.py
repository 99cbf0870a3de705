"""Is the stand-in for Metabase like Metabase? The vendor's own client and API description judge it.

Both look at what the modules sent and read while they brought the dashboards of the collection. What the
description says of keys and types is in tests/metabase_contract.json, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.cdc.lakehouse.plugins.module_utils import (
    metabase_dashboard,
    metabase_database,
    metabase_setup,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import Metabase
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import parse

from tests import metabase_contract
from tests.metabase_standin import DECLARED, MetabaseStandIn, route_of, serving

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "tests" / "metabase_cli"
DEFAULT_CACHE = Path.home() / ".cache" / "cdc-lakehouse"
CACHE = Path(os.environ.get("CDC_LAKEHOUSE_CACHE", DEFAULT_CACHE)) / "metabase-cli"
FACTS: dict[str, dict[str, str]] = json.loads(metabase_contract.FACTS.read_text())
JSON_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
# One card with everything that a definition can have, beside what files/dashboards has.
SAMPLE: dict[str, Any] = {
    "name": "Sample",
    "description": "Everything that a definition can have.",
    "refresh": 60,
    "parameters": [{"slug": "since", "name": "Since", "type": "date/single", "default": "2026-01-01"}],
    "tabs": ["One", "Two"],
    "cards": [
        {
            "name": f"Card on {tab}",
            "description": "What it shows.",
            "display": "line",
            "sql": "select day, orders from gold.kpis where day >= {{since}}",
            "settings": {"graph.dimensions": ["day"], "graph.metrics": ["orders"]},
            "tab": tab,
            "at": {"row": 0, "col": 0, "width": 24, "height": 6},
        }
        for tab in ("One", "Two")
    ],
}


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[MetabaseStandIn, str]]:
    """A stand-in that the modules have set up, connected and filled, and then mended."""
    metabase = MetabaseStandIn()
    definitions = [
        yaml.safe_load(path.read_text()) for path in sorted((ROOT / "files/dashboards").glob("*.yml"))
    ]
    with serving(metabase) as url:
        client = Metabase(url, "admin@example.com", "Quite-long-Pa55word")
        user = metabase_setup.Wanted(
            "admin@example.com",
            "Quite-long-Pa55word",
            "A",
            "B",
            {"site-name": "Lakehouse", "anon-tracking-enabled": False},
        )
        metabase_setup.bring(client, user)
        thrift = metabase_database.Wanted("Lakehouse", "node2", 10000, "gold", "bi", "bi-password")
        metabase_database.bring(client, thrift, 60)
        for definition in [SAMPLE, *definitions]:
            metabase_dashboard.bring(client, parse(definition), "Lakehouse", "Lakehouse")
        for row in [*metabase.cards.values(), *metabase.dashboards.values()]:
            row["description"] = "changed by hand"
        for row in metabase.dashboards.values():
            row["dashcards"].pop()
        next(iter(metabase.databases.values()))["details"]["host"] = "elsewhere"
        metabase_database.bring(client, thrift, 60)
        for definition in [SAMPLE, *definitions]:
            metabase_dashboard.bring(client, parse(definition), "Lakehouse", "Lakehouse")
        yield metabase, url


@pytest.fixture(scope="module")
def mb(filled: tuple[MetabaseStandIn, str]) -> Any:
    """Metabase's client: a command's answer."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLI / name, CACHE)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=CACHE, check=True)
    metabase, url = filled
    own = {"MB_URL": url, "MB_API_KEY": metabase.api_key, "MB_CLI_DISABLE_KEYRING": "1", "HOME": str(CACHE)}

    def ask(*words: str) -> Any:
        done = subprocess.run(
            [CACHE / "node_modules/.bin/mb", *words, "--json", "--full", "--max-bytes=0"],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"mb {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout)

    return ask


@pytest.mark.long
def test_the_vendors_client_reads_everything_back(filled: tuple[MetabaseStandIn, str], mb: Any) -> None:
    metabase, _ = filled
    for number, dashboard in metabase.dashboards.items():
        read = mb("dashboard", "get", str(number))
        assert read["name"] == dashboard["name"]
        assert len(read["dashcards"]) == len(dashboard["dashcards"]) > 0
        assert [tab["name"] for tab in read["tabs"]] == [tab["name"] for tab in dashboard["tabs"]]
    for number, card in list(metabase.cards.items())[:5]:
        read = mb("card", "get", str(number))
        assert read["name"] == card["name"]
        assert read["dataset_query"]["stages"][0]["native"] == card["dataset_query"]["native"]["query"]
    (collection,) = metabase.collections
    assert mb("collection", "items", str(collection))["total"] == len(metabase.cards) + len(
        metabase.dashboards
    )
    assert mb("database", "list")["data"][0]["engine"] == "sparksql"
    assert "Lakehouse" in {row["value"] for row in mb("setting", "list")["data"]}


@pytest.fixture(scope="module")
def described() -> tuple[dict[str, Any], dict[str, Any]]:
    """The vendor's API description."""
    try:
        return metabase_contract.vendors()
    except FileNotFoundError:
        pytest.skip("the vendor's API description is not there")


def sent(metabase: MetabaseStandIn) -> list[tuple[str, str, Any]]:
    """The requests with a body that the modules sent."""
    return [request for request in metabase.requests if request[0] in ("POST", "PUT") and request[2]]


def check_body(where: str, body: Any) -> None:
    """Assert that the keys of a body, and their types, are those that the vendor declares."""
    declared = {key.rstrip("*"): types.split("|") for key, types in FACTS[where].items()}
    for row in body if isinstance(body, list) else [body]:
        assert {key[:-1] for key in FACTS[where] if key.endswith("*")} <= row.keys() <= declared.keys(), where
        for key, value in row.items():
            assert {JSON_TYPES[type(value)], "any"} & {*declared[key]}, f"{where} {key}: {value!r}"
            if value and f"{where} {key}" in FACTS:
                check_body(f"{where} {key}", value)


def test_what_the_modules_send_is_what_the_vendor_declares(filled: tuple[MetabaseStandIn, str]) -> None:
    requests = [(f"{method} {route_of(path)[0]}", body) for method, path, body in sent(filled[0])]
    assert {where for where, _ in requests} >= {
        "POST /api/setup",
        "POST /api/database",
        "PUT /api/database/:id",
        "POST /api/card",
        "PUT /api/card/:id",
        "POST /api/collection",
        "POST /api/dashboard",
        "PUT /api/dashboard/:id",
        "PUT /api/setting/:id",
    }
    for where, body in requests:
        check_body(where, body)


def test_the_stand_in_takes_no_key_that_the_vendor_does_not_declare() -> None:
    assert DECLARED.keys() == FACTS.keys()
    for name, words in DECLARED.items():
        ours = {word.rstrip("*") for word in words.split()}
        assert ours <= {key.rstrip("*") for key in FACTS[name]}, name
        assert {key for key in FACTS[name] if key.endswith("*")} <= {*words.split()}, name


def test_the_facts_are_the_vendors(described: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert metabase_contract.facts(*described) == FACTS, "run: python -m tests.metabase_contract"


def test_what_the_modules_send_fits_the_vendors_description(
    filled: tuple[MetabaseStandIn, str], described: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """To the depth of a query's parameters, which the facts leave out."""
    # What it writes as oneOf are unions, of which several may fit.
    openapi = json.loads(json.dumps(described[0]).replace('"oneOf"', '"anyOf"'))
    for method, path, body in sent(filled[0]):
        schema = metabase_contract.schema_of(method, path, openapi)
        jsonschema.validate(body, {**schema, "components": openapi["components"]})
