# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""A dashboard's definition: read and judged before anything is sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import MetabaseError

GRID = 24
DISPLAYS = ("scalar", "smartscalar", "line", "bar", "row", "area", "pie", "table")
# A dashboard's filter by its type, and the type of the variable in a card's SQL that it can fill.
VARIABLES = {"date/single": "date", "number/=": "number", "string/=": "text"}
VARIABLE = re.compile(r"{{\s*([^{}\s]+)\s*}}")
OPTIONAL = re.compile(r"\[\[.*?\]\]", re.DOTALL)
TOKEN = re.compile(r"(\[\[|\]\]|{{.*?}})", re.DOTALL)
# What Metabase's database keeps of a name.
LONGEST = 254


def required(sql: str) -> set[str]:
    """The variables without which the SQL is none: outside every optional clause."""
    return set(VARIABLE.findall(OPTIONAL.sub("", sql)))


def template_problem(sql: str) -> str | None:
    """What Metabase would not understand of the variables and optional clauses in a card's SQL, or None."""
    clause: list[str] | None = None
    for token in TOKEN.split(sql):
        if token == "[[":  # noqa: S105
            if clause is not None:
                return "a [[ stands in a [[…]]; end the clause with ]] before the next one begins"
            clause = []
        elif token == "]]" and clause is not None:  # noqa: S105
            if not any(VARIABLE.fullmatch(part) for part in clause):
                return "a [[…]] has no variable in it, so nothing would tell when to leave it out"
            clause = None
        elif TOKEN.fullmatch(token) and token.startswith("{{") and not VARIABLE.fullmatch(token):
            return f"{token} is no variable; write the slug of a parameter"
        elif "{{" in token and not TOKEN.fullmatch(token):
            return "a {{ has no }}"
        elif clause is not None:
            clause.append(token)
    return None if clause is None else "a [[ has no ]]"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


# What a filter's default must be, by its type, and how to tell.
DEFAULTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "date/single": ("a day, such as '2026-01-31'", _is_day),
    "number/=": ("a number or a list of numbers", _is_number),
    "string/=": ("a text or a list of texts; put numbers into quotes", _is_text),
}


@dataclass(frozen=True)
class Parameter:
    """A filter of the dashboard."""

    slug: str
    name: str
    type: str
    default: Any = None
    values: list[str] | None = None
    """What it may be chosen from."""


@dataclass(frozen=True)
class Card:
    """A question and its place on the dashboard; the place is in units of the grid."""

    name: str
    display: str
    sql: str
    row: int
    col: int
    width: int
    height: int
    description: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tab: str | None = None

    @property
    def variables(self) -> set[str]:
        """Names of the variables in the SQL."""
        return set(VARIABLE.findall(self.sql))

    @property
    def required(self) -> set[str]:
        """Those of them without which the SQL is none."""
        return required(self.sql)

    def overlaps(self, other: Card) -> bool:
        """Whether both take the same place."""
        return (
            self.tab == other.tab
            and self.col < other.col + other.width
            and other.col < self.col + self.width
            and self.row < other.row + other.height
            and other.row < self.row + self.height
        )


@dataclass(frozen=True)
class Definition:
    """A dashboard as the user wants it; None is left as it is."""

    name: str
    cards: tuple[Card, ...]
    description: str | None = None
    refresh: int | None = None
    parameters: tuple[Parameter, ...] = ()
    tabs: tuple[str, ...] = ()


def parse(source: dict[str, Any]) -> Definition:
    """Read a definition.

    Raises:
        MetabaseError: It is wrong; all that is wrong is in the message.
    """
    reader = _Reader()
    definition = reader.definition(source)
    if definition:
        reader.problems += _contradictions(definition)
    if reader.problems or not definition:
        name = source.get("name", "without a name")
        raise MetabaseError(f"The definition of the dashboard {name} is wrong: {'; '.join(reader.problems)}.")
    return definition


class _Reader:
    """Takes a definition apart and notes what is not as it should be."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def definition(self, source: dict[str, Any]) -> Definition | None:
        found = self.take(
            source,
            "",
            {"name": str, "cards": list},
            {"description": str, "refresh": int, "parameters": list, "tabs": list},
        )
        parameters = [
            self.parameter(p, f"parameters[{i}]") for i, p in enumerate(found.get("parameters", []))
        ]
        cards = [self.card(c, f"cards[{i}]") for i, c in enumerate(found.get("cards", []))]
        tabs = found.get("tabs", [])
        if not all(map(_is_text, tabs)):
            self.problems.append("tabs must be a list of names")
        if found.get("refresh", 1) < 1:
            self.problems.append(f"refresh is {found['refresh']}, and must be a number of seconds, 1 or more")
        if self.problems:
            return None
        return Definition(
            name=found["name"],
            description=found.get("description"),
            refresh=found.get("refresh"),
            parameters=tuple(p for p in parameters if p),
            tabs=tuple(tabs),
            cards=tuple(c for c in cards if c),
        )

    def parameter(self, source: Any, where: str) -> Parameter | None:
        found = self.take(
            source, where, {"slug": str, "name": str, "type": str}, {"default": object, "values": list}
        )
        if found.get("type", "date/single") not in VARIABLES:
            self.problems.append(
                f"{where}.type is {found['type']}, and must be one of {', '.join(VARIABLES)}"
            )
        elif "default" in found and "type" in found:
            found["default"] = self.default(found["default"], found["type"], where)
        if "values" in found and (
            found.get("type") != "string/=" or not found["values"] or not all(map(_is_text, found["values"]))
        ):
            self.problems.append(
                f"{where}.values is {found['values']!r}, and must be a list of texts; the type is string/="
            )
        return Parameter(**found) if {"slug", "name", "type"} <= found.keys() else None

    def default(self, value: Any, kind: str, where: str) -> Any:
        if type(value) is date:
            value = value.isoformat()  # YAML makes one of a day that has no quotes.
        wanted, fits = DEFAULTS[kind]
        values = value if isinstance(value, list) and kind.endswith("/=") else [value]
        if not values or not all(map(fits, values)):
            self.problems.append(f"{where}.default is {value!r}, and must be {wanted}")
        return value

    def card(self, source: Any, where: str) -> Card | None:
        known = len(self.problems)
        found = self.take(
            source,
            where,
            {"name": str, "display": str, "sql": str, "at": dict},
            {"description": str, "settings": dict, "tab": str},
        )
        if problem := template_problem(found.get("sql", "")):
            self.problems.append(f"{where}.sql: {problem}")
        if found.get("settings", {}).get("column_settings") is not None:
            columns = self.columns(found["settings"]["column_settings"], f"{where}.settings.column_settings")
            found["settings"] = {**found["settings"], "column_settings": columns}
        numbers = {"row": int, "col": int, "width": int, "height": int}
        place = self.take(found.pop("at", {}), f"{where}.at", numbers, {})
        if found.get("display", "table") not in DISPLAYS:
            self.problems.append(
                f"{where}.display is {found['display']}, and must be one of {', '.join(DISPLAYS)}"
            )
        if not self.problems[known:] and not (
            place["row"] >= 0
            and place["height"] >= 1
            and 0 <= place["col"] < place["col"] + place["width"] <= GRID
        ):
            self.problems.append(f"{where}.at is {place}, which is not inside a grid of {GRID} columns")
        return None if self.problems[known:] else Card(**{**found, "sql": found["sql"].strip()}, **place)

    def columns(self, source: Any, where: str) -> dict[str, Any]:
        """Settings of columns. Their keys are JSON, and Metabase writes it in its own way."""
        if not isinstance(source, dict):
            self.problems.append(f"{where} must be a mapping")
            return {}
        found = {}
        for key, value in source.items():
            try:
                found[json.dumps(json.loads(key), separators=(",", ":"), ensure_ascii=False)] = value
            except (TypeError, ValueError):
                self.problems.append(
                    f'{where} has the key {key}, which is no JSON; write \'["name","{key}"]\''
                )
        return found

    def take(
        self, source: Any, where: str, needed: Mapping[str, type], optional: Mapping[str, type]
    ) -> dict[str, Any]:
        """The members of a mapping that are of the right type."""
        if not isinstance(source, dict):
            self.problems.append(f"{where or 'it'} must be a mapping")
            return {}
        dot = f"{where}." if where else ""
        self.problems += [f"{dot}{key} is missing" for key in needed if source.get(key) in (None, "")]
        allowed = {**needed, **optional}
        found = {}
        for key, value in source.items():
            if key not in allowed:
                self.problems.append(f"{dot}{key} is unknown (known: {', '.join(allowed)})")
            elif value is None or value == "":
                continue
            elif not isinstance(value, allowed[key]) or (allowed[key] is int and isinstance(value, bool)):
                self.problems.append(f"{dot}{key} is {value!r}, and must be of type {allowed[key].__name__}")
            elif isinstance(value, str) and not value.strip():
                self.problems.append(f"{dot}{key} is blank")
            elif key == "name" and len(str(value)) > LONGEST:
                self.problems.append(f"{dot}{key} is longer than {LONGEST} characters")
            else:
                found[key] = value
        return found


def _contradictions(definition: Definition) -> Iterator[str]:
    """What is wrong between the parts of a definition."""
    slugs = [parameter.slug for parameter in definition.parameters]
    names = [card.name for card in definition.cards]
    for kind, words in (("parameter", slugs), ("card", names), ("tab", definition.tabs)):
        yield from (
            f"there are two {kind}s {word}" for word in sorted({w for w in words if words.count(w) > 1})
        )
    without_default = {p.slug for p in definition.parameters if p.default is None}
    for card in definition.cards:
        yield from (
            f"the SQL of card {card.name} has {{{{{slug}}}}}, which is no parameter"
            for slug in sorted(card.variables - set(slugs))
        )
        yield from (
            f"the SQL of card {card.name} cannot run while the filter {slug} is empty: give the parameter a "
            "default, or put the clause into [[…]]"
            for slug in sorted(card.required & without_default)
        )
        if definition.tabs and card.tab not in definition.tabs:
            yield f"card {card.name} is on tab {card.tab}, and the tabs are {', '.join(definition.tabs)}"
        if card.tab and not definition.tabs:
            yield f"card {card.name} is on tab {card.tab}, and there are no tabs"
    used = {slug for card in definition.cards for slug in card.variables}
    yield from (f"no card uses the parameter {slug}" for slug in slugs if slug not in used)
    yield from (
        f"cards {one.name} and {other.name} overlap"
        for one, other in combinations(definition.cards, 2)
        if one.overlaps(other)
    )
