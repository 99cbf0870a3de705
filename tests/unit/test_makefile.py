"""The Makefile's commands, with Docker replaced by a program that shows what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, str]:
    """An environment in which `docker` prints its arguments, each ended by a zero byte."""
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    program.chmod(0o755)
    # Where the environment's own programs come first, there is no docker among them.
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        """SELECT 'it''s', "two  spaces", `order` FROM gold.kpis -- $HOME $(id) $$ # \\ %""",
        "SELECT 1\nFROM gold.kpis",
    ],
)
def test_sql_arrives_as_it_was_typed(query: str, shown: dict[str, str]) -> None:
    """No quote, dollar or line break of a query is lost on the way."""
    words = ["make", "--no-print-directory", "sql", f"SQL={query}"]
    done = subprocess.run(words, cwd=ROOT, env=shown, capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[-2] == query


def test_sql_without_a_query_says_how(shown: dict[str, str]) -> None:
    """It ends with an error and an example."""
    words = ["make", "--no-print-directory", "sql"]
    done = subprocess.run(words, cwd=ROOT, env=shown, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "make sql SQL='select" in done.stderr


def test_a_package_index_that_is_not_there_is_told_with_the_way_out(tmp_path: Path) -> None:
    """The reason, and which settings say where another is."""
    environment = {
        **os.environ,
        "CDC_LAKEHOUSE_CACHE": str(tmp_path),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    words = [sys.executable, "tools/bootstrap.py"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No matching distribution found for uv==" in done.stderr
    assert "PIP_INDEX_URL and UV_DEFAULT_INDEX" in done.stderr
