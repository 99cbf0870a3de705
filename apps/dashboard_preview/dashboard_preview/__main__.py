"""``python -m dashboard_preview``: the cards' queries, and the page with their results."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from dashboard_preview import definition, page, result, template


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="dashboard_preview", description=__doc__)
    parser.add_argument("dashboards", type=Path, help="the folder of the definitions")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("queries", help="print the cards' queries, a JSON list")
    draw = steps.add_parser("page", help="draw the page with their results, a JSON list on standard input")
    draw.add_argument("file", type=Path, help="where the page goes")
    given = parser.parse_args()
    try:
        dashboards = definition.load(given.dashboards)
        if given.step == "queries":
            print(json.dumps(queries(dashboards)))
        else:
            write_page(dashboards, given.file)
    except definition.DefinitionError as error:
        sys.exit(str(error))


def queries(dashboards: list[definition.Definition]) -> list[str]:
    """The SQL of each card, with the parameters' defaults.

    Raises:
        DefinitionError: A template cannot be filled; the message names the card.
    """
    filled = []
    for dashboard in dashboards:
        for card in dashboard.cards:
            try:
                filled.append(template.fill(card.sql, dashboard.parameters))
            except template.TemplateError as error:
                raise definition.DefinitionError(f"{dashboard.name}: {card.name}: {error}") from error
    return filled


def write_page(dashboards: list[definition.Definition], file: Path) -> None:
    """Write the page, and print a line for each card that failed."""
    shown = page.boards(dashboards, [result.parse(given) for given in json.load(sys.stdin)])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.page(shown, datetime.now(UTC)), encoding="utf-8")
    for line in page.failures(shown):
        print(line)


if __name__ == "__main__":
    main()
