"""What Metabase declares of the requests that the modules send: python -m tests.metabase_contract

Writes the facts, for each body its keys, a star at those that it must have, and their types, from the
vendor's API description, which is not ours to ship (CDC_METABASE_CONTRACTS names its folder).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from tests.metabase_standin import DECLARED

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = Path(os.environ.get("CDC_METABASE_CONTRACTS", ROOT.parent / "shared" / "contracts"))
FACTS = Path(__file__).with_suffix(".json")
# The names of what was added later, where they are not those of the request.
LATER = {"PUT /api/dashboard/:id dashcards": "dashcard", "PUT /api/dashboard/:id tabs": "tab"}


def vendors() -> tuple[Json, Json]:
    """The vendor's OpenAPI of the calls that are used, and the keys that were added later."""
    names = ("metabase-openapi-subset.json", "metabase-overlay-master.json")
    openapi, overlay = (json.loads((CONTRACTS / name).read_text()) for name in names)
    return openapi, overlay


def schema_of(method: str, path: str, openapi: Json) -> Json:
    """What the vendor says of the body of a request; nothing where it has none."""
    routes: list[str] = sorted(openapi["paths"], key=lambda route: route.count("{"))
    operation = next(
        operation
        for route in routes
        if re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", route), path)
        and (operation := openapi["paths"][route].get(method.lower()))
    )
    body: Json = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
    found: Json = body["content"]["application/json"]["schema"]
    return found


def facts(openapi: Json, overlay: Json) -> dict[str, dict[str, str]]:
    """The facts by request, as the stand-in names them."""
    components = openapi["components"]["schemas"]

    def choices(schema: Json) -> list[Json]:
        if "$ref" in schema:
            return choices(components[schema["$ref"].rpartition("/")[2]])
        found = schema.get("oneOf", schema.get("anyOf"))
        return [one for choice in found for one in choices(choice)] if found else [schema]

    told = {}
    for name in sorted(DECLARED):
        method, path, *part = name.split(" ")
        schema = schema_of(method, path.replace(":id", "1"), openapi)
        for key in part:
            schema = choices(schema["properties"][key])[0]
            schema = choices(schema.get("items", schema))[0]
        keys = dict.fromkeys(schema.get("properties", {}), "any")
        for key, value in schema.get("properties", {}).items():
            keys[key] = "|".join(sorted({choice.get("type", "any") for choice in choices(value)}))
        later = overlay.get(LATER.get(name, name.replace(":id", "{id}")), [])
        for word in later if isinstance(later, list) else ():
            keys.setdefault(re.split(r"\W", word)[0], "any")
        needed = schema.get("required", [])
        told[name] = {f"{key}*" if key in needed else key: keys[key] for key in sorted(keys)}
    return told


def main() -> None:
    """Write the file."""
    FACTS.write_text(json.dumps(facts(*vendors()), indent=2) + "\n")


if __name__ == "__main__":
    main()
