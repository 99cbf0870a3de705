"""The jobs' settings: defaults, and one clear error for each thing that is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from lakehouse import catalog, config
from lakehouse.config import ConfigError

GOOD: dict[str, Any] = {
    "storage": "gs://lakehouse/",
    "kafka": {"bootstrap_servers": "node1:9092", "topic_prefix": "cdc"},
    "source": {"system_id": 7412, "timeline": 1},
    "tables": [
        {
            "name": "public.orders",
            "key": ["order_id"],
            "columns": [
                {"name": "order_id", "type": "bigint", "nullable": False},
                {"name": "status", "type": "text"},
            ],
        }
    ],
    "gold_models": "/opt/gold",
    "status_file": "/run/status.json",
    "state": "/var/lib/heads",
}


def test_defaults() -> None:
    settings = config.parse(GOOD)
    assert settings.storage == "gs://lakehouse"
    assert settings.source.system_id == "7412"
    assert settings.tables[0].tracked == ("status",)
    assert settings.triggers.gold == 10
    assert settings.kafka.topic(settings.tables[0]) == "cdc.public.orders"


@pytest.mark.parametrize(
    ("name", "short"),
    [("public.orders", "orders"), ("sales.orders", "sales_orders"), ("public.Big_1", "Big_1")],
)
def test_a_table_outside_public_keeps_its_schema_in_its_name(name: str, short: str) -> None:
    assert config.Table(name, (), (), ()).short_name == short


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    place: Any = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["storage"], None, "pipeline.yml: storage is missing; set it"),
        (["kafka"], "node1:9092", "pipeline.yml.kafka: 'node1:9092' is no mapping of settings"),
        (["source", "timeline"], 0, "pipeline.yml.source.timeline: 0 is no number; write one from 1 upward"),
        (["tables"], [], "pipeline.yml.tables: [] is no list with at least one entry"),
        (["tables", 0, "name"], "orders", "pipeline.yml.tables[0].name: 'orders' is no schema.table"),
        (
            ["tables", 0, "name"],
            "public.orders$eu",
            "'public.orders$eu' is no schema.table of letters, digits and underscores alone; write for "
            "instance public.orders",
        ),
        (["tables", 0, "name"], "public.orders\n", "'public.orders\\n' is no schema.table"),
        (
            ["tables", 0, "key"],
            ["id"],
            "tables[0].key: 'id' is no column of the table; choose from order_id, status",
        ),
        (["tables", 0, "key"], [], "tables[0].key: [] is no list with at least one column name"),
        (["tables", 0, "tracked_columns"], ["note"], "tracked_columns: 'note' is no column of the table"),
        (["tables", 0, "generated"], "length", "tables[0].generated: 'length' is no list of column names"),
        (
            ["bronze_retention_days"],
            7,
            "pipeline.yml.bronze_retention_days: 7 is less than 15; Kafka may keep",
        ),
        (["triggers"], {"gold": -1}, "pipeline.yml.triggers.gold: -1 is no number"),
    ],
)
def test_what_is_wrong_is_named(path: list[Any], value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.parse(changed(path, value))
    assert message in str(error.value)


def test_two_tables_cannot_share_a_name() -> None:
    twin = {**GOOD["tables"][0], "name": "public.sales_orders"}
    other = {**GOOD["tables"][0], "name": "sales.orders"}
    with pytest.raises(ConfigError, match="would both have sales_orders in the lakehouse"):
        config.parse({**GOOD, "tables": [twin, other]})


def test_tables_are_told_apart_by_more_than_upper_and_lower_case() -> None:
    """The metastore does not tell them apart otherwise: the view of one would replace the other's."""
    twin = {**GOOD["tables"][0], "name": "public.Orders"}
    with pytest.raises(
        ConfigError, match=r"public\.Orders and public\.orders would both have Orders in the lakehouse"
    ):
        config.parse({**GOOD, "tables": [GOOD["tables"][0], twin]})


def test_the_view_of_the_quality_rules_is_one_of_silvers_names_too() -> None:
    ruled = {**GOOD["tables"][0], "quality": [{"column": "status", "not_null": True}]}
    other = {**GOOD["tables"][0], "name": "public.Quality"}
    with pytest.raises(ConfigError, match=r"public\.Quality would be silver\.quality"):
        config.parse({**GOOD, "tables": [ruled, other]})
    assert catalog.counts(config.parse({**GOOD, "tables": [other]})) == []  # which would remove it


@pytest.mark.parametrize(
    ("column", "said", "way_out"),
    [
        (
            "version",
            "is a name that silver's tables have for their own",
            'leave it out: exclude: ["version"]',
        ),
        ("Valid_From", "is a name that silver's tables have for their own", 'exclude: ["Valid_From"]'),
        ("price, net (€)", "has ' ' in its name", 'exclude: ["price, net (€)"]'),
        # Debezium's lists do not tell them apart either.
        (
            "Status",
            "differs from status in upper and lower case alone",
            "apart. Rename one of them in the source",
        ),
    ],
)
def test_a_column_whose_name_is_taken_has_a_way_out(column: str, said: str, way_out: str) -> None:
    table = GOOD["tables"][0]
    columns = [*table["columns"], {"name": column, "type": "text"}]
    with pytest.raises(ConfigError) as error:
        config.parse({**GOOD, "tables": [{**table, "columns": columns}]})
    assert f"public.orders: its column {column} {said}" in str(error.value)
    assert str(error.value).endswith(way_out)


def test_a_table_cannot_have_the_name_of_another_ones_view() -> None:
    other = {**GOOD["tables"][0], "name": "public.orders_history"}
    with pytest.raises(ConfigError, match="would both have orders_history in the lakehouse"):
        config.parse({**GOOD, "tables": [GOOD["tables"][0], other]})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the settings file with --config"):
        config.load(tmp_path / "none.yml")
