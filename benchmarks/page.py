"""The measures as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from benchmarks.measure import Measure, table

_HEAD = """<!doctype html><meta charset="utf-8"><title>Benchmarks</title>
<style>body{font-family:system-ui,sans-serif;margin:2rem}pre{overflow-x:auto;font-size:.8rem}</style>
<h1>Benchmarks</h1>"""


def page(measures: Sequence[Measure]) -> str:
    """A plot for each unit: medians and peers as bars, runs as dots, goals as lines; then the table."""
    units = dict.fromkeys(measure.unit for measure in measures)
    plots = "".join(_plot(unit, [one for one in measures if one.unit == unit]) for unit in units)
    return f"{_HEAD}<script>{get_plotlyjs()}</script>{plots}<pre>{escape(table(measures))}</pre>"


def _plot(unit: str, measures: Sequence[Measure]) -> str:
    figure = go.Figure()
    names = [measure.name for measure in measures]
    figure.add_bar(y=names, x=[measure.median for measure in measures], orientation="h", name="ours, median")
    for peer in dict.fromkeys(peer for measure in measures for peer in measure.peers):
        those = [measure for measure in measures if peer in measure.peers]
        figure.add_bar(
            y=[one.name for one in those], x=[one.peers[peer] for one in those], orientation="h", name=peer
        )
    runs = [(measure.name, run) for measure in measures for run in measure.runs]
    figure.add_scatter(
        y=[name for name, _ in runs], x=[run for _, run in runs], mode="markers", name="ours, each run"
    )
    goals = [(one.name, one.at_most or one.at_least) for one in measures if one.goal]
    figure.add_scatter(
        y=[name for name, _ in goals],
        x=[goal for _, goal in goals],
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 24, "color": "black"},
        name="goal",
    )
    figure.update_layout(
        title=unit,
        legend={"orientation": "h"},
        height=180 + 60 * len(names),
        yaxis={"autorange": "reversed"},
        margin={"l": 420},
    )
    html: str = figure.to_html(full_html=False, include_plotlyjs=False)
    return html
