"""A pytest plugin: a skip that is not listed here fails."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)

# The reasons for which a test may be skipped. Whoever adds one says when the test does run.
ALLOWED: dict[str, str] = {
    "no Chromium on this machine": "where the package chromium is installed",
    "the lab was there before": "where it and its data are not: the tests bring it up",
    "PostgreSQL 15 is not installed": "where the package postgresql-15 is",
    "npm is not installed": "where Node.js 20 or newer is: `make test-all` checks the stand-in for Metabase",
    "the vendor's API description is not there": "where CDC_METABASE_CONTRACTS names its folder",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skip of a test."""
    return _judge((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a whole file."""
    return _judge((yield))


def _judge(report: R) -> R:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in ALLOWED:
            report.outcome = "failed"
            report.longrepr = f"Skipped ({reason}), which tests/skips.py does not list."
    return report
