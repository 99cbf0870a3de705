"""The tool that writes the roles' variables into their READMEs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.role_readme import bring, differences

SPECS: dict[str, Any] = {
    "main": {
        "short_description": "A role",
        "options": {
            "r_port": {"type": "int", "default": 80, "description": "Port, C(80) | more."},
            "r_name": {"type": "str", "required": True, "description": ["One.", "Two."]},
        },
    }
}


@pytest.fixture
def role(tmp_path: Path) -> Path:
    """A role whose README has no variables yet."""
    for name, content in {
        "meta/argument_specs.yml": {"argument_specs": SPECS},
        "defaults/main.yml": {"r_port": 80},
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "README.md").write_text("# r\n<!-- specs -->\n<!-- /specs -->\nend\n")
    return tmp_path


def test_it_finds_and_writes_what_is_missing_and_then_finds_nothing(role: Path) -> None:
    readme = role / "README.md"
    before = readme.read_text()
    assert len(list(bring(role, check=True))) == 1
    assert readme.read_text() == before, "checking writes nothing"

    assert list(bring(role, check=False)) == []
    assert readme.read_text() == (
        "# r\n<!-- specs -->\n"
        "| variable | type | default | meaning |\n|---|---|---|---|\n"
        "| `r_port` | int | `80` | Port, `80` \\| more. |\n"
        "| `r_name` | str | *required* | One. Two. |\n"
        "<!-- /specs -->\nend\n"
    )
    assert list(bring(role, check=True)) == []


def test_a_readme_without_a_place_for_the_variables_is_named(role: Path) -> None:
    (role / "README.md").write_text("# r\n")
    assert "<!-- specs -->" in next(bring(role, check=True))


@pytest.mark.parametrize(
    ("defaults", "found"),
    [
        ({"r_port": 80}, None),
        ({"r_port": 81}, "r_port is 81"),
        ({"r_port": "80"}, "r_port is '80'"),
        ({}, "none in defaults"),
        ({"r_port": 80, "r_other": 1}, "r_other"),
        ({"r_port": 80, "r_name": "x"}, "none in the specs"),
    ],
)
def test_defaults_and_specs_agree_in_name_value_and_type(defaults: dict[str, Any], found: str | None) -> None:
    problems = list(differences(defaults, SPECS))
    if found is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert found in problems[0]
