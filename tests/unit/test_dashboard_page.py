"""The preview's page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dashboard_preview import definition, page, result

from tests.canned_dashboard import DEFINITION, RESULTS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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


def opened(file: Path, *options: str) -> str:
    """What the browser made of the page. Fails when the page wrote to the console, where errors go."""
    assert CHROMIUM
    words = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=20000", "--dump-dom", *options, file.as_uri()),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert re.findall(r".*CONSOLE.*", done.stderr) == []
    return done.stdout


@pytest.mark.parametrize("size", ["1440,900", "500,900"], ids=["wide", "narrow"])
def test_every_chart_is_drawn_in_the_colours_that_the_reader_chose(file: Path, size: str) -> None:
    colours = {}
    for scheme in (DARK, LIGHT):
        seen = opened(file, f"--window-size={size}", scheme)
        assert seen.count('role="img"') == seen.count('data-drawn="yes"') == 5
        assert "<script>alert(1)" not in seen
        (colours[scheme],) = set(re.findall(r'class="legendtext"[^>]*? fill: (rgb\([^)]*\))', seen))
    assert colours[DARK] != colours[LIGHT]
