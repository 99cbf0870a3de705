"""The results of the cards' queries, as ``lakehouse-sql --json`` gives them, and their values for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
_TIMES = {"DATE": 10, "TIMESTAMP": 19}  # how many characters of them are of use to a person
_NUMBERS = {"TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL"}


@dataclass(frozen=True)
class Column:
    """A column of a result and its Spark type."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        """Whether its values can be calculated with."""
        return self.type in _NUMBERS

    @property
    def is_time(self) -> bool:
        """Whether its values are days or moments."""
        return self.type in _TIMES

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Result:
    """What a query gave, or why it failed.

    Attributes:
        columns: Names and types.
        rows: Their values: numbers as Decimal, times as text, None for null.
        seconds: How long the query took.
        error: What the server said is wrong; empty when nothing was.
    """

    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    seconds: float = 0
    error: str = ""

    def index(self, name: str) -> int:
        """The position of a column.

        Raises:
            KeyError: There is none of that name; the message names those that are there.
        """
        names = [column.name for column in self.columns]
        if name not in names:
            raise KeyError(f"the query gives no column {name}; it gives {', '.join(names)}")
        return names.index(name)

    def values(self, name: str) -> list[Any]:
        """The values of a column, from the first row to the last."""
        index = self.index(name)
        return [row[index] for row in self.rows]


def parse(given: Mapping[str, Any]) -> Result:
    """Read a result from its JSON."""
    if "error" in given:
        return Result(seconds=given["seconds"], error=given["error"])
    columns = tuple(Column(column["name"], column["type"]) for column in given["columns"])
    rows = tuple(
        tuple(_value(column, value) for column, value in zip(columns, row, strict=True))
        for row in given["rows"]
    )
    return Result(columns, rows, given["seconds"])


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.is_number:
        return Decimal(str(value))
    return value[: _TIMES[column.type]] if column.type in _TIMES else value


def column_settings(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A column's own of Metabase's visualization settings, which name it in JSON."""
    given: Mapping[str, Mapping[str, Any]] = settings.get("column_settings", {})
    return next((own for key, own in given.items() if json.loads(key) == ["name", name]), {})


def symbol(own: Mapping[str, Any]) -> str:
    """The sign of a column's currency, empty for what is no money."""
    if own.get("number_style") != "currency":
        return ""
    currency = str(own.get("currency", "USD"))
    return _SYMBOLS.get(currency, f"{currency} ")


def written(value: Any, own: Mapping[str, Any]) -> str:
    """A value as a person reads it, by its column's settings."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, Decimal):
        text = f"{own.get('prefix', '')}{_number(value, own)}{own.get('suffix', '')}"
        return text.replace("-", "\N{MINUS SIGN}")
    return str(value)


def _number(value: Decimal, own: Mapping[str, Any]) -> str:
    if own.get("number_style") == "percent":
        return f"{value * 100:,.{own.get('decimals', 0)}f} %"
    if money := symbol(own):
        sign = "-" if value < 0 else ""
        return f"{sign}{money}{abs(value):,.{own.get('decimals', 2)}f}"
    return f"{value:,.{own['decimals']}f}" if "decimals" in own else f"{value:,f}"
