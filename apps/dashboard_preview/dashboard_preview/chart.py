"""Plotly's figures for the cards that are charts. Colours come from the page: it knows whether it is dark."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from dashboard_preview.definition import Card
from dashboard_preview.result import Result, column_settings, symbol

Series = dict[str, tuple[list[Any], list[Any]]]


def figure(card: Card, result: Result) -> dict[str, Any]:
    """The figure of a card's result, as Plotly's JSON.

    Raises:
        KeyError: The card's settings name a column that the result does not have, or none.
    """
    drawn = go.Figure(_TRACES[card.display](card, result), _layout(card, result))
    if (
        card.display in ("line", "area", "bar")
        and len({point for trace in drawn.data for point in trace.x}) == 1
    ):
        _show_one_point(drawn)
    plain: dict[str, Any] = json.loads(drawn.to_json())
    # Plotly's Python puts its own theme in; the page has one.
    plain["layout"].pop("template", None)
    return plain


def is_chart(card: Card) -> bool:
    """Whether a card is drawn; the others are text."""
    return card.display in _TRACES


def _lines(card: Card, result: Result) -> list[Any]:
    stacked = "stackable.stack_type" in card.settings
    style: dict[str, Any] = {"fill": "tozeroy"} if card.display == "area" else {}
    if stacked:
        style = {"stackgroup": "one"}
    return [
        # A line through one or two points shows nothing without marks.
        go.Scatter(
            x=x,
            y=y,
            name=name,
            mode="lines+markers" if len(x) < 15 else "lines",
            hovertemplate=_hover(card, "y"),
            **style,
        )
        for name, (x, y) in _series(card, result).items()
    ]


def _show_one_point(drawn: go.Figure) -> None:
    """Make narrow bars of what has one point, as all days have on the shop's first, and name that point."""
    drawn.update_xaxes(type="category")
    bars = [
        go.Bar(x=trace.x, y=trace.y, name=trace.name, hovertemplate=trace.hovertemplate, width=0.3)
        for trace in drawn.data
    ]
    drawn.data = ()
    drawn.add_traces(bars)


def _bars(card: Card, result: Result) -> list[Any]:
    return [
        go.Bar(x=x, y=y, name=name, hovertemplate=_hover(card, "y"))
        for name, (x, y) in _series(card, result).items()
    ]


def _rows(card: Card, result: Result) -> list[Any]:
    return [
        go.Bar(x=y, y=x, name=name, orientation="h", hovertemplate=_hover(card, "x"))
        for name, (x, y) in _series(card, result).items()
    ]


def _pie(card: Card, result: Result) -> list[Any]:
    labels = [_plain(value) for value in result.values(card.settings["pie.dimension"])]
    values = [_plain(value) for value in result.values(card.settings["pie.metric"])]
    return [
        go.Pie(
            labels=labels,
            values=values,
            hole=0.58,
            sort=False,
            direction="clockwise",
            textinfo="percent",
            textposition="inside",
            insidetextorientation="horizontal",
            hovertemplate=f"%{{label}}: {_unit(card)}%{{value:,}}, %{{percent}}<extra></extra>",
        )
    ]


_TRACES: dict[str, Callable[[Card, Result], list[Any]]] = {
    "line": _lines,
    "area": _lines,
    "bar": _bars,
    "row": _rows,
    "pie": _pie,
}


def _series(card: Card, result: Result) -> Series:
    """The lines of a chart by name: one for each metric or, with a second dimension, for each value of it."""
    dimension, *split = card.settings["graph.dimensions"]
    metrics = card.settings["graph.metrics"]
    points = [_plain(value) for value in result.values(dimension)]
    if not split:
        return {
            result.columns[result.index(metric)].title: (
                points,
                [_plain(value) for value in result.values(metric)],
            )
            for metric in metrics
        }
    series: Series = {}
    for name, point, value in zip(result.values(split[0]), points, result.values(metrics[0]), strict=True):
        x, y = series.setdefault(str(_plain(name)), ([], []))
        x.append(point)
        y.append(_plain(value))
    return series


def _plain(value: Any) -> Any:
    """A value for Plotly, which reads texts as a kind of HTML."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None else html.escape(str(value), quote=False)


def _layout(card: Card, result: Result) -> dict[str, Any]:
    unit: dict[str, Any] = {"title": {"text": html.escape(card.settings.get("graph.y_axis.title_text", ""))}}
    if money := _unit(card):
        unit["tickprefix"] = money
    if _is_percent(card):
        unit["tickformat"] = ".0%"
    values, points = ("xaxis", "yaxis") if card.display == "row" else ("yaxis", "xaxis")
    layout: dict[str, Any] = {
        values: {"rangemode": "tozero", "automargin": True, "fixedrange": True, **unit},
        points: {"automargin": True, "fixedrange": True},
        "barmode": "stack" if "stackable.stack_type" in card.settings else "group",
        "hovermode": "x unified" if card.display in ("line", "area", "bar") else "closest",
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "legend": {"orientation": "h", "y": -0.18, "yanchor": "top"},
        "bargap": 0.25,
    }
    if card.display == "row":
        layout["yaxis"]["autorange"] = "reversed"
    if card.display != "pie":
        dimension = result.columns[result.index(card.settings["graph.dimensions"][0])]
        if not dimension.is_number and not dimension.is_time:
            # Left to guess, Plotly makes numbers of most texts that look so, and leaves out the others.
            layout[points]["type"] = "category"
    return layout


def _hover(card: Card, axis: str) -> str:
    number = ".1%" if _is_percent(card) else ",.2f" if _unit(card) else ",.0f"
    return f"{_unit(card)}%{{{axis}:{number}}}"


def _metric(card: Card) -> Any:
    name = card.settings.get("pie.metric") or card.settings["graph.metrics"][0]
    return column_settings(card.settings, name)


def _unit(card: Card) -> str:
    return symbol(_metric(card))


def _is_percent(card: Card) -> bool:
    return bool(_metric(card).get("number_style") == "percent")
