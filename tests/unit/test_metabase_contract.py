"""Is the stand-in for Metabase like Metabase? The vendor's own client and API description judge it.

Both look at what the modules sent and read while they brought the dashboards of the collection.
"""

from __future__ import annotations

import json
import os
import re
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

from tests.metabase_standin import DECLARED, MetabaseStandIn, route_of, serving

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "tests" / "metabase_cli"
DEFAULT_CACHE = Path.home() / ".cache" / "cdc-lakehouse"
CACHE = Path(os.environ.get("CDC_LAKEHOUSE_CACHE", DEFAULT_CACHE)) / "metabase-cli"
CONTRACTS = Path(os.environ.get("CDC_METABASE_CONTRACTS", ROOT.parent / "shared" / "contracts"))
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
def contract() -> tuple[dict[str, Any], dict[str, Any]]:
    """The vendor's OpenAPI of the calls that are used, and the keys that were added later."""
    try:
        # What it writes as oneOf are unions, of which several may fit.
        text = (CONTRACTS / "metabase-openapi-subset.json").read_text().replace('"oneOf"', '"anyOf"')
        openapi = json.loads(text)
        overlay = json.loads((CONTRACTS / "metabase-overlay-master.json").read_text())
    except FileNotFoundError:
        pytest.skip("the vendor's API description is not there")
    return openapi, overlay


def vendor_route(method: str, path: str, openapi: dict[str, Any]) -> str:
    """The route of a path as the description writes it."""
    routes: list[str] = sorted(openapi["paths"], key=lambda route: route.count("{"))
    return next(
        route
        for route in routes
        if method.lower() in openapi["paths"][route]
        and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", route), path)
    )


def later_keys(overlay: dict[str, Any], name: str) -> set[str]:
    """The keys that the overlay names, without its remarks."""
    words = overlay.get(name, [])
    return {re.match(r"[a-z_]+", word)[0] for word in words} if isinstance(words, list) else set()  # type: ignore[index]


def test_what_the_modules_send_is_what_the_vendor_declares(
    filled: tuple[MetabaseStandIn, str], contract: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    openapi, overlay = contract
    sent = [request for request in filled[0].requests if request[0] in ("POST", "PUT") and request[2]]
    assert {f"{method} {route_of(path)[0]}" for method, path, _ in sent} >= {
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
    for method, path, body in sent:
        route = vendor_route(method, path, openapi)
        content = openapi["paths"][route][method.lower()]["requestBody"]["content"]["application/json"]
        schema = {**content["schema"], "components": openapi["components"]}
        jsonschema.validate(body, schema)
        known = schema["properties"].keys() | later_keys(overlay, f"{method} {route}")
        assert body.keys() <= known, f"{method} {route}: undeclared"
        for part, name in (("dashcards", "dashcard"), ("tabs", "tab")):
            for row in body.get(part) or []:
                assert row.keys() <= later_keys(overlay, name), f"{method} {route} {part}: undeclared"


def test_the_stand_in_takes_no_key_that_the_vendor_does_not_declare(
    contract: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    openapi, overlay = contract
    for name, words in DECLARED.items():
        method, route, *part = name.split(" ")
        if part:
            continue
        vendors = vendor_route(method, route.replace(":id", "1"), openapi)
        body = openapi["paths"][vendors][method.lower()].get("requestBody")
        declared = body["content"]["application/json"]["schema"]["properties"].keys() if body else set()
        ours = {word.rstrip("*") for word in words.split()}
        assert ours <= declared | later_keys(overlay, f"{method} {vendors}"), name
