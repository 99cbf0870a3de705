"""The content that the role metabase brings, by Ansible, against the stand-in for Metabase."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metabase_standin import MetabaseStandIn, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SQL = "select day, orders from gold.kpis where 1 = 1 [[and day >= {{since}}]]"
CARD = {"display": "line", "sql": SQL, "at": {"row": 0, "col": 0, "width": 24, "height": 6}}
SINCE = {"slug": "since", "name": "Since", "type": "date/single"}
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: cdc.lakehouse.metabase
        tasks_from: "{{ tasks | default('content') }}"
"""


def definition(name: str, card: str, refresh: int) -> dict[str, Any]:
    """A dashboard of one card."""
    return {"name": name, "refresh": refresh, "parameters": [SINCE], "cards": [{"name": card, **CARD}]}


def play(folder: Path, url: str, *options: str, fails: bool = False, **changes: str) -> str:
    """Run the role's entry point; its output.

    Args:
        folder: Where the play and the dashboards are.
        url: Where the stand-in listens.
        options: Of ansible-playbook.
        fails: Whether the play must fail.
        changes: Variables that are others than usual.
    """
    settings = {
        "metabase_jar_url": "https://example.com/metabase.jar",
        "lakehouse_address": "127.0.0.1",
        "metabase_port": int(url.rpartition(":")[2]),
        "metabase_dashboards_dir": str(folder / "dashboards"),
        "lakehouse_secret_metabase_admin": "Administrator-5Pn1",
        "lakehouse_secret_thrift_bi": "bi-password",
        "lakehouse_thrift_host": "node2",
        "__metabase_data_dir": str(folder),
        **changes,
    }
    (folder / "play.yml").write_text(PLAY)
    # The unit runs, and its data is there.
    (folder / "systemctl").write_text("#!/bin/sh\n")
    (folder / "systemctl").chmod(0o755)
    (folder / "settings.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            "--inventory=localhost,",
            "--connection=local",
            f"--extra-vars=@{folder}/settings.json",
            f"--extra-vars=ansible_python_interpreter={sys.executable}",
            *options,
            folder / "play.yml",
        ],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "PATH": f"{folder}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def test_it_brings_the_dashboards_and_tells_where_they_are(tmp_path: Path) -> None:
    dashboards = tmp_path / "dashboards"
    dashboards.mkdir()
    (dashboards / "a.yml").write_text(yaml.safe_dump(definition("Orders", "Orders per day", 60)))
    (dashboards / "b.yml").write_text(yaml.safe_dump(definition("Sales", "Sales per day", 300)))
    metabase = MetabaseStandIn()
    with serving(metabase) as url:
        assert "changed=3" in play(tmp_path, url, "--check")
        assert not metabase.writes
        first = play(tmp_path, url, "--diff", "-vvv")
        assert "changed=3" in first
        for number, refresh in zip(metabase.dashboards, (60, 300), strict=True):
            assert f"{url}/dashboard/{number}#refresh={refresh}" in first
        assert {card["dataset_query"]["native"]["query"] for card in metabase.cards.values()} == {SQL}
        assert metabase.settings["anon-tracking-enabled"] is False
        assert "changed=0" in play(tmp_path, url)
        for secret in ("Administrator-5Pn1", "bi-password"):
            assert secret not in first


def test_two_cards_of_a_name_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    dashboards = tmp_path / "dashboards"
    dashboards.mkdir()
    for name in ("Orders", "Sales"):
        (dashboards / f"{name}.yml").write_text(yaml.safe_dump(definition(name, "Per day", 60)))
    metabase = MetabaseStandIn()
    with serving(metabase) as url:
        output = play(tmp_path, url, fails=True)
    assert "are called Per day" in " ".join(output.split())
    assert not metabase.requests


def test_definitions_that_are_wrong_are_named_with_file_and_place(tmp_path: Path) -> None:
    dashboards = tmp_path / "dashboards"
    dashboards.mkdir()
    (dashboards / "a.yml").write_text(yaml.safe_dump({"name": "Nameless", "cards": [CARD]}))
    (dashboards / "b.yml").write_text("name: Empty\n")
    (dashboards / "c.yml").write_text("- a\n- list\n")
    (dashboards / "d.yml").write_text("name: One: two\n")
    metabase = MetabaseStandIn()
    with serving(metabase) as url:
        output = " ".join(play(tmp_path, url, fails=True).split())
    for complaint in (
        "a.yml: The definition of the dashboard Nameless is wrong: cards[0].name is missing",
        "b.yml: The definition of the dashboard Empty is wrong: cards is missing",
        "c.yml is no mapping; give name, cards and the like",
        "d.yml: no YAML: mapping values are not allowed here in",
        "line 1, column 10",
    ):
        assert complaint in output
    assert not metabase.requests


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"metabase_address": "0.0.0.0"}, "metabase_address is '0.0.0.0', which is every network"),
        ({"metabase_address": ""}, "metabase_address is '', which is every network"),
        (
            {"metabase_site_url": "lakehouse.example"},
            "metabase_site_url is 'lakehouse.example', and must begin with http:// or https://",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, str], complaint: str) -> None:
    good = {
        "tasks": "preflight",
        "metabase_jar_checksum": "0" * 64,
        "metabase_database_password": "database-3Jc5",
        "metabase_encryption_key": "encryption-8Qw2-1Zx6",
    }
    output = play(tmp_path, "http://127.0.0.1:3000", fails=True, **good, **changes)
    assert complaint in " ".join(output.split())


def test_the_password_that_the_walkthrough_makes_is_taken(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "gcp.md").read_text(encoding="utf-8")
    (command,) = [line for line in guide.splitlines() if "gcloud secrets create lakehouse-$name" in line]
    made = subprocess.run(
        ["bash", "-c", command.partition("| gcloud")[0]], capture_output=True, text=True, check=True
    ).stdout
    dashboards = tmp_path / "dashboards"
    dashboards.mkdir()
    (dashboards / "a.yml").write_text(yaml.safe_dump(definition("Orders", "Orders per day", 60)))
    with serving(MetabaseStandIn()) as url:
        assert "changed=3" in play(tmp_path, url, "--check", lakehouse_secret_metabase_admin=made)
