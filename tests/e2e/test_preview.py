"""`make preview` on the running lab."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.browser import DARK, LIGHT, charts, needs_chromium, opened, wide_and_narrow
from tests.e2e.running_lab import ROOT, Lab

pytestmark = pytest.mark.usefixtures("no_traffic")


@pytest.fixture(scope="module")
def page(lab: Lab) -> Path:
    """The page that `make up` made for these tests, or else made now."""
    page = ROOT / "build" / "preview.html"
    assert str(page) in (lab.up or lab.make("preview").stdout)
    return page


def test_every_card_of_every_dashboard_has_data(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    for file in (ROOT / "files" / "dashboards").glob("*.yml"):
        for card in yaml.safe_load(file.read_text(encoding="utf-8"))["cards"]:
            assert f">{card['name']}</h4>" in html
    assert "query failed" not in html
    assert "No rows" not in html


@needs_chromium
@pytest.mark.parametrize("scheme", [DARK, LIGHT], ids=["dark", "light"])
@wide_and_narrow
def test_every_chart_is_drawn(page: Path, size: str, scheme: str) -> None:
    assert charts(opened(page, size, scheme)) > 0


def test_a_card_that_fails_is_named_and_the_others_are_drawn(lab: Lab, tmp_path: Path) -> None:
    at = {"row": 0, "col": 0, "width": 6, "height": 4}
    cards = [
        {"name": "Broken", "display": "scalar", "sql": "select * from gold.nowhere", "at": at},
        {"name": "Whole", "display": "scalar", "sql": "select 4321 as number", "at": {**at, "col": 6}},
    ]
    (tmp_path / "one.yml").write_text(yaml.safe_dump({"name": "Two", "cards": cards}), encoding="utf-8")
    page = tmp_path / "page.html"
    done = lab.playbook(
        "preview", "-e", f"lakehouse_dashboards={tmp_path}", "-e", f"preview_file={page}", check=False
    )
    assert done.returncode != 0
    assert "Two: Broken: [TABLE_OR_VIEW_NOT_FOUND]" in done.stdout + done.stderr
    assert ">4,321<" in page.read_text(encoding="utf-8")
