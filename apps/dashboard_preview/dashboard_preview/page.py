"""The page: all dashboards with their cards, in one file that needs no other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboard_preview import chart
from dashboard_preview.definition import Card, Definition
from dashboard_preview.result import Result, column_settings, written

FILES = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A card as the page shows it: ``kind`` is error, empty, chart, number or table; ``content`` goes in."""

    card: Card
    kind: str
    content: Any
    seconds: float


Boards = Sequence[tuple[Definition, Sequence[Shown]]]
"""Dashboards, each with its cards."""


def boards(dashboards: Iterable[Definition], results: Iterable[Result]) -> Boards:
    """What the page shows.

    Args:
        dashboards: The definitions.
        results: The result of each card's query, in the order of the cards.
    """
    left = iter(results)
    return [(dashboard, [_show(card, next(left)) for card in dashboard.cards]) for dashboard in dashboards]


def failures(shown: Boards) -> list[str]:
    """A line for each card that shows an error instead of its data."""
    return [
        f"{dashboard.name}: {one.card.name}: {one.content.splitlines()[0]}"
        for dashboard, cards in shown
        for one in cards
        if one.kind == "error"
    ]


def page(shown: Boards, made_at: datetime) -> str:
    """The HTML of the dashboards.

    Args:
        shown: What it shows.
        made_at: When the queries ran.
    """
    environment = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    return environment.get_template("page.html.j2").render(
        dashboards=shown,
        made_at=made_at,
        style=Markup((FILES / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup((FILES / "page.js").read_text(encoding="utf-8")),  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )


def _show(card: Card, result: Result) -> Shown:
    kind, content = _content(card, result)
    return Shown(card, kind, content, result.seconds)


def _content(card: Card, result: Result) -> tuple[str, Any]:
    if result.error:
        return "error", result.error
    if not result.rows:
        return "empty", None
    try:
        if chart.is_chart(card):
            return "chart", chart.figure(card, result)
        if card.display == "table":
            return "table", _table(card, result)
        return "number", _number(card, result)
    except KeyError as error:
        return "error", f"The card's settings do not fit: {error.args[0]}"


def _table(card: Card, result: Result) -> dict[str, Any]:
    own = [column_settings(card.settings, column.name) for column in result.columns]
    return {
        "columns": [
            {"title": settings.get("column_title", column.title), "number": column.is_number}
            for column, settings in zip(result.columns, own, strict=True)
        ],
        "rows": [
            [written(value, settings) for value, settings in zip(row, own, strict=True)]
            for row in result.rows
        ],
    }


def _number(card: Card, result: Result) -> dict[str, Any]:
    name = card.settings.get("scalar.field") or result.columns[-1].name
    own = column_settings(card.settings, name)
    values = result.values(name)
    shown = {"value": written(values[-1], own)}
    if card.display == "smartscalar":
        shown |= _comparison(values[-1], values[-2] if len(values) > 1 else None, own, card.settings)
        since = result.rows[-2][0] if len(values) > 1 else None
        shown["since"] = "" if since is None else str(since).removesuffix(":00")
    return shown


def _comparison(now: Any, before: Any, own: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a number stands to the one before: its change, and whether that is good."""
    compared = {"before": written(before, own), "change": "", "mood": "even"}
    if isinstance(now, Decimal) and isinstance(before, Decimal) and before and now != before:
        up = now > before
        good = up != bool(settings.get("scalar.switch_positive_negative"))
        compared["change"] = f"{'↑' if up else '↓'} {abs((now - before) / before):,.1%}"
        compared["mood"] = "good" if good else "bad"
    elif now is not None and now == before:
        compared["change"] = "no change"
    return compared


def embedded(figure: Mapping[str, Any]) -> Markup:
    """JSON that a script element may hold: nothing in it ends the element."""
    return Markup(json.dumps(figure).replace("<", "\\u003c"))  # noqa: S704
