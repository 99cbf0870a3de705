"""Chromium without a window, for tests of the preview's page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
wide_and_narrow = pytest.mark.parametrize("size", ["1440,900", "500,900"], ids=["wide", "narrow"])


def opened(file: Path, size: str, scheme: str) -> str:
    """What the browser made of the page. Fails when the page wrote to the console, where errors go.

    One warning of Plotly's is none to us: where the labels of an axis go back and forth between two widths of
    the margin it stays with the last, and the chart is whole. Whether they do depends on the numbers.
    """
    assert CHROMIUM
    words = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=20000", "--dump-dom", f"--window-size={size}", scheme, file.as_uri()),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    written = re.findall(r".*CONSOLE.*", done.stderr)
    if unexpected := [line for line in written if "Too many auto-margin redraws" not in line]:
        pytest.fail("\n".join(unexpected))
    return done.stdout


def charts(seen: str) -> int:
    """How many charts a page has. Fails when one of them was not drawn."""
    count = seen.count('role="img"')
    assert seen.count('data-drawn="yes"') == count
    return count
