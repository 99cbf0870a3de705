"""The preview's page in a browser."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dashboard_preview import definition, page, result

from tests.browser import DARK, LIGHT, charts, needs_chromium, opened, wide_and_narrow
from tests.canned_dashboard import DEFINITION, RESULTS

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a dashboard that has a card of each kind."""
    board = definition.parse("canned.yml", json.dumps(DEFINITION))
    html = page.page(
        page.boards([board], [result.parse(given) for given in RESULTS]), datetime(2026, 3, 1, tzinfo=UTC)
    )
    file = tmp_path_factory.mktemp("page") / "preview.html"
    file.write_text(html, encoding="utf-8")
    return file


@wide_and_narrow
def test_every_chart_is_drawn_in_the_colours_that_the_reader_chose(file: Path, size: str) -> None:
    colours = {}
    for scheme in (DARK, LIGHT):
        seen = opened(file, size, scheme)
        assert charts(seen) == 6
        assert ">3 or more</text>" in seen  # a bar whose name is a text beside others that look like numbers
        assert "<script>alert(1)" not in seen
        (colours[scheme],) = set(re.findall(r'class="legendtext"[^>]*? fill: (rgb\([^)]*\))', seen))
    assert colours[DARK] != colours[LIGHT]
