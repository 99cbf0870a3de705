"""Which tables and views the lakehouse offers for queries."""

from __future__ import annotations

from typing import Any

from lakehouse import former, models, quality
from lakehouse.config import Config, Table
from lakehouse.layout import CURRENT, HIDDEN_COLUMNS, HISTORY_COLUMNS, quoted


def entries(config: Config) -> list[dict[str, Any]]:
    """Every table and view, in the order in which they can be registered: what is to go, tables, views."""
    tables = [_table("bronze", "change_events", config.bronze_path)]
    for table in config.tables:
        tables.append(_table("silver", f"{table.short_name}_versions", config.silver_path(table)))
    for model in models.load_all(config.gold_models):
        tables.append(_table("gold", model.name, config.gold_path(model.name)))
    offered = [_QUARANTINE]
    for table in config.tables:
        offered += views(table)
    everything = tables + offered + counts(config)
    taken = {(entry["database"], entry["name"]) for entry in everything}
    gone = [entry for entry in _gone(config) if (entry["database"], entry["name"]) not in taken]
    return gone + sorted(everything, key=lambda entry: "query" in entry)


def views(table: Table) -> list[dict[str, Any]]:
    """The views on what a source table has in the layers."""
    business = ", ".join(map(quoted, table.column_names))
    told = f"{business}, {', '.join(HISTORY_COLUMNS)}"
    dropped = f"* EXCEPT ({told}, {', '.join(HIDDEN_COLUMNS)})"  # columns that only old versions have
    flags = f", {quality.flags(table.quality)} AS {quality.FLAGS}" if table.quality else ""
    versions = f"FROM {_versions(table)}"
    return [
        _view(
            "bronze",
            table.short_name,
            f"SELECT * FROM bronze.change_events WHERE source_table = '{table.name}'",  # noqa: S608  a checked name
            f"{table.name}: its change events",
        ),
        _view(
            "silver",
            f"{table.short_name}_history",
            f"SELECT {told}, {dropped}{flags} {versions}",
            f"{table.name}: every version of every row (SCD type 2)",
        ),
        _view(
            "silver",
            table.short_name,
            f"SELECT {business}{flags} {versions} WHERE {CURRENT}",
            f"{table.name}: its rows now",
        ),
    ]


def counts(config: Config) -> list[dict[str, Any]]:
    """The view on how many rows break each quality rule; it goes with the last rule."""
    if quality.VIEW in (table.short_name.lower() for table in config.tables):
        return []
    selects = [
        quality.summary(table.short_name, table.quality, f"{_versions(table)} WHERE {CURRENT}")
        for table in config.tables
        if table.quality
    ]
    if not selects:
        return [{"database": "silver", "name": quality.VIEW, "state": "absent"}]
    comment = "How many current rows break each quality rule"
    return [_view("silver", quality.VIEW, " UNION ALL ".join(selects), comment)]


def _gone(config: Config) -> list[dict[str, Any]]:
    """What there was of tables and models that are not listed any more."""
    before = former.names(config)
    found = [("gold", name) for name in before["gold"]]
    for name in before["silver"]:
        found += [("bronze", name), *(("silver", name + end) for end in ("", "_history", "_versions"))]
    return [{"database": database, "name": name, "state": "absent"} for database, name in found]


def _versions(table: Table) -> str:
    return f"silver.`{table.short_name}_versions`"


def _table(database: str, name: str, location: str) -> dict[str, Any]:
    return {"database": database, "name": name, "location": location}


def _view(database: str, name: str, query: str, comment: str) -> dict[str, Any]:
    return {"database": database, "name": name, "query": query, "comment": comment}


_QUARANTINE = _view(
    "bronze",
    "quarantine",
    "SELECT topic, partition, offset, source_table, error, key, value, headers, kafka_timestamp, ingested_at "
    "FROM bronze.change_events WHERE error IS NOT NULL",
    "Records that are no good events, with the reason",
)
