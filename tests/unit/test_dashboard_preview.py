"""The preview of the dashboards: reading definitions, filling templates, and the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dashboard_preview import chart, definition, page, result, template
from dashboard_preview.definition import Definition, DefinitionError, Parameter
from dashboard_preview.template import TemplateError
from plotly.offline import get_plotlyjs

from tests.canned_dashboard import DEFINITION, RESULTS

ROOT = Path(__file__).resolve().parents[2]
MADE_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def country(default: Any) -> list[Parameter]:
    return [Parameter("country", "Country", "string/=", default)]


def shown(results: list[dict[str, Any]] | None = None) -> str:
    parsed = [result.parse(given) for given in results or RESULTS]
    return page.page(page.boards([canned()], parsed), MADE_AT)


def canned() -> Definition:
    return definition.parse("canned.yml", json.dumps(DEFINITION))


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        ("date/single", "2026-01-31", "date '2026-01-31'"),
        ("number/=", 30, "30"),
        ("number/=", "1e3", "1000"),
        ("number/=", [1, 2.5], "1, 2.5"),
        ("string/=", "DE", "'DE'"),
        ("string/=", ["DE", "FR"], "'DE', 'FR'"),
        ("string/=", "O'Neil", "'O\\'Neil'"),
        ("string/=", "\\' or 1=1 --", "'\\\\\\' or 1=1 --'"),
        ("string/=", "${env:HOME}", "'\\u0024{env:HOME}'"),
    ],
)
def test_a_default_becomes_a_literal(kind: str, default: Any, expected: str) -> None:
    parameter = Parameter("x", "X", kind, default)
    assert template.fill("select {{ x }}", [parameter]) == f"select {expected}"


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("date/single", "2026-02-30"),
        ("date/single", "' or 1=1"),
        ("number/=", "1; drop table t"),
        ("number/=", "NaN"),
        ("number/=", "Infinity"),
        ("id", 1),
    ],
)
def test_a_default_of_another_kind_is_refused_by_name(kind: str, default: Any) -> None:
    with pytest.raises(TemplateError, match="parameter x "):
        template.fill("select {{x}}", [Parameter("x", "X", kind, default)])


def test_a_clause_stays_with_a_value_and_goes_without() -> None:
    sql = "select 1 where true [[and a = {{country}}]] [[and b = {{country}}]] order by c[d[0]]"
    assert (
        template.fill(sql, country("DE")) == "select 1 where true and a = 'DE' and b = 'DE' order by c[d[0]]"
    )
    assert template.fill(sql, country(None)) == "select 1 where true   order by c[d[0]]"


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("select {{land}}", "{{land}} is no parameter of the dashboard; it has: country"),
        ("select {{country}}", "country has no default and stands outside of [[…]]"),
        ("select 1 [[and {{country}}", "[[ has no ]]"),
        ("select 1 [[and [[or {{country}}]]]]", "a [[ stands in a [[…]]"),
    ],
)
def test_a_template_that_cannot_be_filled(sql: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(complaint)):
        template.fill(sql, country(None))


def test_a_wrong_definition_names_its_file() -> None:
    with pytest.raises(DefinitionError, match=r"canned.yml: .* title is unknown"):
        definition.parse("canned.yml", json.dumps({**DEFINITION, "title": "x"}))


def test_every_dashboard_of_the_collection_can_be_asked() -> None:
    done = run("queries", stdin="")
    queries = json.loads(done.stdout)
    assert len(queries) > 30
    assert not [query for query in queries if "{{" in query or "[[" in query]


def test_numbers_are_exact_and_compared_with_the_period_before() -> None:
    html = shown()
    assert ">1,234<" in html
    assert "↑ 23.4%" in html
    assert "12345678901234567.89" not in html  # grouped,
    assert "€12,345,678,901,234,567.89" in html  # and not a cent lost


def test_less_is_better_where_the_card_says_so() -> None:
    assert '<b class="good">↓ 50.0%</b>' in shown()


def test_data_cannot_become_markup_or_script() -> None:
    html = shown()
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html  # in the table
    assert "\\u003c/script>" not in html  # in a chart's JSON it is escaped for Plotly, too
    assert "&lt;/script&gt;" in html


def test_the_page_needs_no_other_file() -> None:
    without_library = shown().replace(get_plotlyjs(), "")
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)|url\(|https?://", without_library)


def test_a_failed_card_shows_its_error_in_its_place_and_is_named(tmp_path: Path) -> None:
    failed = [{"error": "TABLE_OR_VIEW_NOT_FOUND <gold.x>", "seconds": 0.1}, *RESULTS[1:]]
    (tmp_path / "canned.yml").write_text(json.dumps(DEFINITION))
    file = tmp_path / "build" / "page.html"
    done = run("page", str(file), folder=tmp_path, stdin=json.dumps(failed))
    assert done.stdout == "Canned <b>: Orders: TABLE_OR_VIEW_NOT_FOUND <gold.x>\n"
    html = file.read_text()
    assert "TABLE_OR_VIEW_NOT_FOUND &lt;gold.x&gt;" in html
    assert html.count('<div class="plot"') == shown().count('<div class="plot"')


def test_settings_that_name_no_column_of_the_result_are_an_error_of_the_card() -> None:
    renamed = json.loads(json.dumps(RESULTS))
    renamed[3]["columns"][1]["name"] = "other"
    failures = page.failures(page.boards([canned()], [result.parse(given) for given in renamed]))
    assert failures == [
        "Canned <b>: Line: The card's settings do not fit: "
        "the query gives no column orders; it gives day, other, amount"
    ]


def test_a_chart_with_one_point_shows_it_as_a_bar_with_its_name() -> None:
    given = {**RESULTS[3], "rows": [["2026-02-28", 20, "7.5"]]}
    line = next(card for card in canned().cards if card.name == "Line")
    figure = chart.figure(line, result.parse(given))
    assert [(trace["type"], trace["x"], trace["y"]) for trace in figure["data"]] == [
        ("bar", ["2026-02-28"], [20]),
        ("bar", ["2026-02-28"], [7.5]),
    ]
    assert figure["layout"]["xaxis"]["type"] == "category"


def run(
    step: str, *arguments: str, stdin: str, folder: Path = ROOT / "files" / "dashboards"
) -> subprocess.CompletedProcess[str]:
    """Run the program as the playbook does."""
    return subprocess.run(
        [sys.executable, "-m", "dashboard_preview", str(folder), step, *arguments],
        cwd=ROOT / "apps" / "dashboard_preview",
        input=stdin,
        text=True,
        capture_output=True,
        check=True,
    )
