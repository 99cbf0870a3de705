"""The settings of the jobs: what `pipeline.yml` says, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lakehouse import names, quality
from lakehouse.quality import Rule

LEAST_RETENTION_DAYS = 15
"""Kafka's seven days, and as many until it begins a new segment of a quiet topic."""

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")


class ConfigError(Exception):
    """A setting that is missing or wrong; the message names it, its value and the way out."""


@dataclass(frozen=True)
class Column:
    """A column of a source table.

    Attributes:
        name: Its name.
        type: PostgreSQL's format_type() text.
        nullable: Whether it may be null.
        number: PostgreSQL's attnum, which stays when it is renamed; None: not known.
    """

    name: str
    type: str
    nullable: bool = True
    number: int | None = None


@dataclass(frozen=True)
class Table:
    """A captured source table."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    tracked: tuple[str, ...]
    quality: tuple[Rule, ...] = ()
    generated: tuple[str, ...] = ()
    """The columns that the source computes. Snapshots tell them, the stream does not: silver has none."""

    @property
    def short_name(self) -> str:
        """Its name in silver."""
        return names.short_name(self.name)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The business columns in the source's order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Kafka:
    """Where the change events come from."""

    bootstrap_servers: str
    topic_prefix: str

    def topic(self, table: Table) -> str:
        """The topic that carries a table's events."""
        return f"{self.topic_prefix}.{table.name}"


@dataclass(frozen=True)
class Source:
    """The identity of the source database; a change of it begins a new epoch."""

    system_id: str
    timeline: int


@dataclass(frozen=True)
class Triggers:
    """Seconds between looks into Kafka, between batches of silver and of gold at least, between cleanings."""

    bronze: float = 10.0
    silver: float = 10.0
    gold: float = 10.0
    maintenance: float = 86_400.0


@dataclass(frozen=True)
class Config:
    """Everything that the jobs are told."""

    storage: str
    kafka: Kafka
    source: Source
    tables: tuple[Table, ...]
    triggers: Triggers
    gold_models: Path
    status_file: Path
    state: Path
    bronze_retention_days: float = 0
    """How long bronze keeps events, see `retention`; 0: for good."""
    scheduled: bool = False
    """Silver and gold work when they are asked to, see `schedule`; else at their triggers."""

    def table(self, name: str) -> Table:
        """The table of that full or short name."""
        return next(table for table in self.tables if name in (table.name, table.short_name))

    @property
    def topics(self) -> dict[str, Table]:
        """The table that each topic carries."""
        return {self.kafka.topic(table): table for table in self.tables}

    @property
    def bronze_path(self) -> str:
        """The location of bronze.change_events."""
        return f"{self.storage}/bronze/change_events"

    def silver_path(self, table: Table) -> str:
        """The location of a table's backing table in silver."""
        return f"{self.storage}/silver/{table.short_name}"

    def gold_path(self, model: str) -> str:
        """The location of a gold table."""
        return f"{self.storage}/gold/{model}"


def load(path: Path) -> Config:
    """Reads and checks the settings file."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name the settings file with --config") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    return parse(data, str(path))


def parse(data: Any, origin: str = "pipeline.yml") -> Config:
    """Checks settings that were read from `origin` and gives them types."""
    root = _Section(data, origin)
    kafka, source = root.section("kafka"), root.section("source")
    triggers = root.section("triggers", optional=True)
    tables = tuple(_table(section) for section in root.sections("tables"))
    _refuse_doubles(tables, root)
    return Config(
        storage=root.text("storage").rstrip("/"),
        kafka=Kafka(kafka.text("bootstrap_servers"), kafka.text("topic_prefix")),
        source=Source(source.text("system_id"), int(source.number("timeline", minimum=1))),
        tables=tables,
        triggers=Triggers(
            bronze=triggers.number("bronze", default=Triggers.bronze),
            silver=triggers.number("silver", default=Triggers.silver),
            gold=triggers.number("gold", default=Triggers.gold),
            maintenance=triggers.number("maintenance", default=Triggers.maintenance),
        ),
        gold_models=Path(root.text("gold_models")),
        status_file=Path(root.text("status_file")),
        state=Path(root.text("state")),
        bronze_retention_days=_retention(root),
        scheduled=root.flag("scheduled", default=False),
    )


def _retention(root: _Section) -> float:
    days = root.number("bronze_retention_days", default=0)
    if 0 < days < LEAST_RETENTION_DAYS:
        raise ConfigError(
            f"{root.path}.bronze_retention_days: {days!r} is less than {LEAST_RETENTION_DAYS}; Kafka may "
            "keep its records so long. Write more, or 0 to keep all"
        )
    return days


def _table(section: _Section) -> Table:
    name = section.text("name")
    # `$`, for instance: no topic of Kafka's can have it, and Debezium's patterns read it otherwise.
    if not _TABLE_NAME.fullmatch(name):
        raise ConfigError(
            f"{section.path}.name: {name!r} is no schema.table of letters, digits and underscores alone; "
            "write for instance public.orders"
        )
    columns = tuple(
        Column(
            column.text("name"),
            column.text("type"),
            column.flag("nullable", default=True),
            int(column.number("number", default=0)) or None,
        )
        for column in section.sections("columns")
    )
    among = [column.name for column in columns]
    key = section.names("key", among=among)
    tracked = section.names(
        "tracked_columns", among=among, default=[name for name in among if name not in key]
    )
    try:
        names.check_columns(name, among)
        rules = quality.rules(
            name, section.get("quality", []), {column.name: column.type for column in columns}
        )
    except (names.WrongName, quality.QualityError) as error:
        raise ConfigError(f"{section.path}: {error}") from error
    generated = section.get("generated", [])
    if not isinstance(generated, list) or not all(isinstance(name, str) for name in generated):
        raise ConfigError(f"{section.path}.generated: {generated!r} is no list of column names")
    return Table(name, key, columns, tracked, rules, tuple(generated))


def _refuse_doubles(tables: tuple[Table, ...], root: _Section) -> None:
    seen = {table.short_name.lower(): table.name for table in tables}  # as the metastore tells them apart
    listed = [table.name for table in tables]
    if twice := [name for name in seen.values() if listed.count(name) > 1]:
        raise ConfigError(f"{root.path}: the table {twice[0]} is listed twice; remove one of them")
    try:
        names.check_tables(listed)
        if any(table.quality for table in tables):
            quality.check_view(listed)
    except (names.WrongName, quality.QualityError) as error:
        raise ConfigError(f"{root.path}: {error}") from error


class _Section:
    """A mapping in the settings, which knows its path for the messages."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, Mapping):
            raise ConfigError(f"{path}: {data!r} is no mapping of settings")
        self._data = data
        self.path = path

    def get(self, key: str, default: Any) -> Any:
        return self._data.get(key, default)

    def _get(self, key: str) -> Any:
        value = self._data.get(key)
        if value is None:
            raise ConfigError(f"{self.path}: {key} is missing; set it")
        return value

    def text(self, key: str) -> str:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise ConfigError(f"{self.path}.{key}: {value!r} is no text; write a non-empty string")
        return str(value)

    def number(self, key: str, *, minimum: float = 0, default: float | None = None) -> float:
        value = self._data.get(key, default) if default is not None else self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < minimum:
            raise ConfigError(f"{self.path}.{key}: {value!r} is no number; write one from {minimum:g} upward")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.path}.{key}: {value!r} is neither true nor false")
        return value

    def section(self, key: str, *, optional: bool = False) -> _Section:
        value = self._data.get(key, {}) if optional else self._get(key)
        return _Section(value, f"{self.path}.{key}")

    def sections(self, key: str) -> list[_Section]:
        value = self._get(key)
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{self.path}.{key}: {value!r} is no list with at least one entry")
        return [_Section(entry, f"{self.path}.{key}[{index}]") for index, entry in enumerate(value)]

    def names(self, key: str, *, among: list[str], default: list[str] | None = None) -> tuple[str, ...]:
        value = self._data.get(key, default) if default is not None else self._get(key)
        if not isinstance(value, list) or (not value and default is None):
            raise ConfigError(f"{self.path}.{key}: {value!r} is no list with at least one column name")
        for name in value:
            if name not in among:
                raise ConfigError(
                    f"{self.path}.{key}: {name!r} is no column of the table; choose from {', '.join(among)}"
                )
        return tuple(value)
