"""What Google's discovery documents say: which requests there are, and what a body may hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import googleapiclient

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
APIS = (
    "billingbudgets.v1",
    "bigquery.v2",
    "cloudbilling.v1",
    "cloudresourcemanager.v3",
    "compute.v1",
    "iam.v1",
    "iamcredentials.v1",
    "secretmanager.v1",
    "serviceusage.v1",
    "storage.v1",
)
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


@dataclass(frozen=True)
class Method:
    """One method of an API."""

    api: str
    id: str
    verb: str
    pattern: re.Pattern[str]
    parameters: dict[str, Any]
    common: dict[str, Any]
    request: str | None
    response: str | None

    @property
    def collection(self) -> str:
        """Such as ``instances`` of ``compute.instances.insert``."""
        return self.id.split(".")[-2]

    @property
    def name(self) -> str:
        """Such as ``insert``."""
        return self.id.rsplit(".", 1)[1]


@dataclass(frozen=True)
class Api:
    """One document."""

    name: str
    host: str
    methods: list[Method]
    schemas: dict[str, Any]


@cache
def load(name: str) -> Api:
    """Read one document of the pinned wheel."""
    document = json.loads((DOCUMENTS / f"{name}.json").read_text())
    api = name.partition(".")[0]
    methods = [
        Method(
            api,
            item["id"],
            item["httpMethod"],
            _pattern("/" + document["servicePath"] + (item.get("flatPath") or item["path"])),
            item.get("parameters", {}),
            document["parameters"],
            item.get("request", {}).get("$ref"),
            item.get("response", {}).get("$ref"),
        )
        for item in _methods(document)
    ]
    return Api(api, urlsplit(document["rootUrl"]).netloc, methods, document["schemas"])


def _methods(node: dict[str, Any]) -> list[dict[str, Any]]:
    below = [method for child in node.get("resources", {}).values() for method in _methods(child)]
    return [*node.get("methods", {}).values(), *below]


def _pattern(path: str) -> re.Pattern[str]:
    names = iter(range(99))
    return re.compile(re.sub(r"\{\+?(\w+)\}", lambda m: f"(?P<{m[1]}_{next(names)}>[^/:]+)", path) + "$")


def find(host: str, verb: str, path: str) -> tuple[Api, Method] | None:
    """Return the method that a request is for."""
    if host == "www.googleapis.com":  # the older name of the same
        host = {"compute": "compute.googleapis.com"}.get(path.split("/")[1], host)
    for api in map(load, APIS):
        if api.host == host:
            for method in api.methods:
                if method.verb == verb and method.pattern.match(path):
                    return api, method
    return None


def faults(api: Api, method: Method, path: str, query: dict[str, list[str]], body: Any) -> list[str]:
    """Say what of a request the document does not have."""
    known = {**method.parameters, **method.common}
    found = [f"unknown parameter {name}" for name in query if name not in known]
    found += [
        f"missing parameter {name}"
        for name, about in method.parameters.items()
        if about.get("required") and about["location"] == "query" and name not in query
    ]
    given = [(name, value) for name, values in query.items() for value in values]
    match = method.pattern.match(path)
    given += [(name.rpartition("_")[0], value) for name, value in match.groupdict().items()] if match else []
    for name, value in given:
        pattern = known.get(name, {}).get("pattern")
        # In the APIs whose paths are flattened, a pattern is of several parts together.
        if pattern and "/" not in pattern and not re.fullmatch(pattern, value):
            found.append(f"{name} is {value!r}, which does not match {pattern}")
    if body is not None and method.request is None:
        found.append("a body where there is none")
    if method.request:
        found += _check(api, {"$ref": method.request}, body if body is not None else {}, method.request)
        found += _missing(api, method, body or {})
    return found


def _missing(api: Api, method: Method, body: dict[str, Any]) -> list[str]:
    properties = api.schemas[method.request or ""].get("properties", {})
    return [
        f"{method.request}.{name} is required"
        for name, about in properties.items()
        if method.id in about.get("annotations", {}).get("required", []) and name not in body
    ]


def _check(api: Api, schema: dict[str, Any], value: Any, where: str) -> list[str]:
    if "$ref" in schema:
        schema = api.schemas[schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "any" or value is None:
        return []
    # Google reads numbers of 64 bits as text or number, and text where it wants a number.
    loose = schema.get("format") in {"int64", "uint64"} or kind in {"integer", "number"}
    wanted: Any = PYTHON_TYPES[kind]
    if loose and isinstance(value, str | int) and not isinstance(value, bool):
        return [] if re.fullmatch(r"-?\d+(\.\d+)?", str(value)) else [f"{where} is no number: {value!r}"]
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where} must be {kind}, not {value!r}"]
    if kind == "array":
        return [
            fault
            for i, item in enumerate(value)
            for fault in _check(api, schema["items"], item, f"{where}[{i}]")
        ]
    if kind == "object":
        return _check_object(api, schema, value, where)
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where} must be one of {schema['enum']}, not {value!r}"]
    pattern = schema.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        return [f"{where} must match {pattern}, not {value!r}"]
    return []


def _check_object(api: Api, schema: dict[str, Any], value: dict[str, Any], where: str) -> list[str]:
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    found = []
    for name, item in value.items():
        if name in properties:
            found += _check(api, properties[name], item, f"{where}.{name}")
        elif rest:
            found += _check(api, rest, item, f"{where}.{name}")
        else:
            found.append(f"unknown field {where}.{name}")
    return found
