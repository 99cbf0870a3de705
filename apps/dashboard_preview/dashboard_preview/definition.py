"""The definitions of dashboards, read from their files and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DISPLAYS = ("scalar", "smartscalar", "line", "bar", "row", "area", "pie", "table")
GRID_WIDTH = 24


class DefinitionError(Exception):
    """A definition that is wrong; the message names the file, the place, the value and the way out."""


@dataclass(frozen=True)
class Parameter:
    """A filter of a dashboard.

    Attributes:
        slug: Its name in the cards' SQL.
        name: Its name for people.
        type: ``date/single``, ``number/=`` or ``string/=``.
        default: The value that it has at first; None is no value.
    """

    slug: str
    name: str
    type: str
    default: Any = None


@dataclass(frozen=True)
class Place:
    """Where a card is on the grid, counted from 0, and how many columns and rows it takes."""

    row: int
    col: int
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """A query and how its result is shown; ``settings`` are Metabase's visualization settings."""

    name: str
    display: str
    sql: str
    at: Place
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    tab: str = ""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard; ``refresh`` is in seconds, 0 for never."""

    name: str
    cards: tuple[Card, ...]
    description: str = ""
    refresh: int = 0
    parameters: tuple[Parameter, ...] = ()
    tabs: tuple[str, ...] = ()


def load(folder: Path) -> list[Dashboard]:
    """The dashboards of a folder, in the order of their files.

    Raises:
        DefinitionError: There is none, or one is wrong.
    """
    files = sorted(folder.glob("*.yml"))
    if not files:
        raise DefinitionError(f"{folder} holds no *.yml: there is no dashboard to draw.")
    return [parse(file.name, file.read_text(encoding="utf-8")) for file in files]


def parse(file: str, text: str) -> Dashboard:
    """Read the definition in the text of a file.

    Raises:
        DefinitionError: It is wrong.
    """
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DefinitionError(f"{file}: no YAML: {error}") from error
    _check_keys(
        file, given, required=("name", "cards"), optional=("description", "refresh", "parameters", "tabs")
    )
    tabs = tuple(given.get("tabs", ()))
    cards = tuple(
        _card(f"{file}: card {number}", card, tabs) for number, card in enumerate(given["cards"], 1)
    )
    _check_unique(file, "card", (card.name for card in cards))
    parameters = tuple(_parameter(file, parameter) for parameter in given.get("parameters", ()))
    _check_unique(file, "parameter", (parameter.slug for parameter in parameters))
    return Dashboard(
        given["name"], cards, given.get("description", ""), given.get("refresh", 0), parameters, tabs
    )


def _parameter(file: str, given: Any) -> Parameter:
    _check_keys(f"{file}: parameters", given, required=("slug", "name", "type"), optional=("default",))
    return Parameter(**given)


def _card(where: str, given: Any, tabs: tuple[str, ...]) -> Card:
    _check_keys(
        where, given, required=("name", "display", "sql", "at"), optional=("description", "settings", "tab")
    )
    where = f"{where} ({given['name']})"
    if given["display"] not in DISPLAYS:
        raise DefinitionError(f"{where}: display is {given['display']!r}; choose of {', '.join(DISPLAYS)}.")
    if given.get("tab", "") not in (tabs or ("",)):
        raise DefinitionError(f"{where}: tab is {given.get('tab')!r}; the dashboard's tabs are {list(tabs)}.")
    _check_keys(f"{where}: at", given["at"], required=("row", "col", "width", "height"))
    place = Place(**given["at"])
    if place.row < 0 or place.col < 0 or place.width < 1 or place.height < 1:
        raise DefinitionError(f"{where}: at is {given['at']}; rows and columns count from 0, sizes from 1.")
    if place.col + place.width > GRID_WIDTH:
        raise DefinitionError(
            f"{where}: at ends in column {place.col + place.width} of {GRID_WIDTH}; make it narrower."
        )
    return Card(**{**given, "at": place})


def _check_keys(where: str, given: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{where} is {given!r}; give a mapping with {', '.join(required)}.")
    if missing := [key for key in required if key not in given]:
        raise DefinitionError(f"{where} lacks {', '.join(missing)}.")
    if unknown := [str(key) for key in given if key not in required + optional]:
        raise DefinitionError(
            f"{where} has {', '.join(unknown)}, which nobody reads; "
            f"known are {', '.join(required + optional)}."
        )


def _check_unique(file: str, kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DefinitionError(f"{file}: two {kind}s are named {name}; give each its own name.")
        seen.add(name)
