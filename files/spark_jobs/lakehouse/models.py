"""Gold models: one SQL file each, with its keys and its dependence on silver in front. Pure."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import yaml

from lakehouse.layout import quoted
from lakehouse.names import short_name
from lakehouse.retry import NeedsSomebody

if TYPE_CHECKING:  # whoever only reads the models needs no Spark
    from pyspark.sql import DataFrame, SparkSession


_NESTED = ("struct<", "array<", "map<", "variant")


class ModelError(NeedsSomebody):
    """A model file that is wrong; the message names the file, the setting and the way out."""


@dataclass(frozen=True)
class Model:
    """A gold table.

    Attributes:
        name: The table's name, and the file's.
        description: What it tells.
        keys: The columns that tell its rows apart.
        query: The SELECT over current silver rows; `{orders}` is the table orders.
        changes: For each silver table that it reads, the SELECT that maps `{changes}`, the table's
            changed rows as they were
            and as they are, to the keys of the model's rows that they are part of. `{orders}` there are
            the rows of orders as they are and, of changed ones, as they were.
    """

    name: str
    description: str
    keys: tuple[str, ...]
    query: str
    changes: Mapping[str, str]

    @property
    def sources(self) -> tuple[str, ...]:
        """The silver tables it reads."""
        return tuple(self.changes)

    @property
    def digest(self) -> str:
        """What tells its definition from another one."""
        told = json.dumps([self.keys, self.query, dict(self.changes)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def load_all(folder: Path) -> list[Model]:
    """The models of a folder, by name."""
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise ModelError(
            f"{folder} holds no *.sql; set lakehouse_gold_models to the folder of the gold models"
        )
    return [parse(file.stem, file.read_text(encoding="utf-8")) for file in files]


def parse(name: str, text: str) -> Model:
    """Reads a model from the text of its file: YAML in leading comments, then the query."""
    lines = text.splitlines()
    end = next((index for index, line in enumerate(lines) if not line.startswith("--")), len(lines))
    query = "\n".join(lines[end:]).strip().rstrip(";")
    try:
        front = yaml.safe_load("\n".join(line[2:].removeprefix(" ") for line in lines[:end])) or {}
    except yaml.YAMLError as error:
        raise ModelError(f"{name}.sql: the leading comments are no YAML: {error}") from error
    if not isinstance(front, Mapping):
        raise ModelError(
            f"{name}.sql: the leading comments are {str(front)[:60]!r}; write keys and changes there, as "
            "YAML, and as description what the model tells"
        )
    keys, changes = front.get("keys"), front.get("changes")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise ModelError(
            f"{name}.sql: keys is {keys!r}; name the key columns as a list, in quotes where needed"
        )
    if not isinstance(changes, Mapping) or not changes:
        raise ModelError(
            f"{name}.sql: changes is {changes!r}; give each silver table of the query the SELECT of the keys"
        )
    if "changes" in changes:  # the public.changes of somebody
        raise ModelError(
            f"{name}.sql: it reads a table called changes, and {{changes}} are the changed rows of a table; "
            "rename that table in the source"
        )
    read = _tables_of(f"{name}.sql: the query", query)
    for table, text in changes.items():
        _tables_of(f"{name}.sql: changes of {table}", str(text))
    if read != set(changes):
        raise ModelError(
            f"{name}.sql: the query reads {sorted(read)}, changes names {sorted(changes)}; make them the same"
        )
    return Model(name, str(front.get("description", "")), tuple(keys), query, dict(changes))


def _tables_of(place: str, query: str) -> set[str]:
    """The names in braces of a query."""
    try:
        parts = list(Formatter().parse(query))
    except ValueError:
        parts = [("", "", "", None)]
    names = {name for _, name, _, _ in parts if name is not None}
    if wrong := [name for name in names if not name.isidentifier()]:
        raise ModelError(
            f"{place} has {{{min(wrong)}}}, which is no table's name; a brace that is meant as such is "
            "written twice: {{ }}"
        )
    return names


def refuse_keys(model: Model, columns: Mapping[str, str]) -> None:
    """Refuses keys by which rows cannot be told apart.

    Args:
        model: The model.
        columns: Spark's types of the columns that its query gives.

    Raises:
        ModelError: The query does not give a key, or of a type whose values cannot be looked up.
    """
    for key in model.keys:
        if key not in columns:
            raise ModelError(
                f"{model.name}.sql: keys has {key!r}, and the query gives {', '.join(columns)}; write it as "
                "it is there"
            )
        if columns[key].startswith(_NESTED):
            raise ModelError(
                f"{model.name}.sql: the key {key} is {columns[key]}; take a part of it, for instance "
                "window.start"
            )


def result(spark: SparkSession, model: Model, current: Mapping[str, DataFrame]) -> DataFrame:
    """The whole model, computed from current silver rows."""
    sources: dict[str, Any] = {name: current[name] for name in model.sources}
    rows = spark.sql(model.query, **sources)
    return rows.where(_known(model))


def affected_keys(
    spark: SparkSession,
    model: Model,
    images: Mapping[str, DataFrame],
    current: Mapping[str, DataFrame],
    columns: Mapping[str, str],
) -> DataFrame:
    """The keys of the model's rows that may differ from what they were.

    Args:
        spark: The session.
        model: The model.
        images: Of the silver tables that changed, the changed rows as they were and as they are.
        current: The current rows of all its silver tables.
        columns: Spark's types of the model's columns: a table may have another one for the same values.
    """
    both: dict[str, Any] = {
        name: current[name].unionByName(images[name]) if name in images else current[name]
        for name in model.sources
    }
    # A value that the model's own type does not hold, it does not have.
    keys = [f"try_cast({quoted(name)} AS {columns[name]}) AS {quoted(name)}" for name in model.keys]
    found = [
        spark.sql(model.changes[name], changes=images[name], **both).selectExpr(*keys)
        for name in model.sources
        if name in images
    ]
    return reduce(lambda one, other: one.union(other), found).where(_known(model)).distinct()


def _known(model: Model) -> str:
    """The condition of rows that have all keys. NaN is one."""
    return " AND ".join(f"{quoted(name)} IS NOT NULL" for name in model.keys)


def restricted(rows: DataFrame, keys: DataFrame) -> DataFrame:
    """The rows that have one of the keys."""
    if len(keys.columns) > 1:
        # Spark pushes a condition on one column below aggregates and to its side of a join, but not one
        # on several.
        for name in keys.columns:
            rows = rows.join(keys.select(quoted(name)).distinct(), name, "left_semi")
    return rows.join(keys, keys.columns, "left_semi")


def refuse_unknown_sources(found: list[Model], tables: Collection[str]) -> None:
    """Refuses models that read what is no table of silver.

    Args:
        found: The models.
        tables: The captured tables, by their names in silver.

    Raises:
        ModelError: A model reads something else.
    """
    for model in found:
        if unknown := sorted(set(model.sources) - set(tables)):
            raise ModelError(
                f"{model.name}.sql: it reads {', '.join(unknown)}, but lakehouse_tables has "
                f"{', '.join(sorted(tables))}; add the table, or set lakehouse_gold_models to a folder of "
                "models for your tables"
            )


def main() -> int:
    """Judges the models of a folder for the tables that an inventory declares, and lists them as JSON.

    Exits with 1, and the first error in one line, when one is wrong.
    """
    parser = argparse.ArgumentParser(prog="lakehouse.models", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the models")
    parser.add_argument("tables", nargs="+", help="the captured tables, as schema.table")
    told = parser.parse_args()
    try:
        found = load_all(told.folder)
        refuse_unknown_sources(found, {short_name(table) for table in told.tables})
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    listed = {model.name: {"key": model.keys, "sql": model.query} for model in found}
    json.dump(listed, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
