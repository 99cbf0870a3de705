"""The comparison of a check run with the run after it, on real playbook runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import truth

PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Announce and change {{ 'this' }}
      ansible.builtin.copy: {content: x, dest: "{{ playbook_dir }}/made"}
    - name: Change without a word
      ansible.builtin.command: touch silent
      changed_when: not ansible_check_mode
      check_mode: false
    - name: Announce and do nothing
      ansible.builtin.command: "true"
      changed_when: ansible_check_mode
      check_mode: false
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[truth.Run]:
    """A check and a run of the playbook."""
    folder = tmp_path_factory.mktemp("truth")
    playbook = folder / "converge.yml"
    playbook.write_text(PLAYBOOK)
    for options in (["--check"], []):
        subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "--inventory=localhost,",
                f"--extra-vars=ansible_python_interpreter={sys.executable}",
                *options,
                playbook,
            ],
            cwd=folder,
            env=truth.environment(folder / "changes"),
            check=True,
            capture_output=True,
        )
    return truth.runs(folder / "changes")


def test_runs_are_told_apart(runs: list[truth.Run]) -> None:
    """The check comes first, and names are rendered."""
    assert [run.check for run in runs] == [True, False]
    assert ("localhost", "Announce and change this") in runs[0].changed


def test_both_kinds_of_lie_are_found(runs: list[truth.Run]) -> None:
    """What was not announced, and what was announced and not done; nothing else."""
    assert truth.lies(runs[0], runs[1], "here") == [
        "changed, not announced by --check: localhost: Change without a word",
        "announced by --check, not changed: localhost: Announce and do nothing",
    ]


def test_explained_exceptions_are_left_out(
    runs: list[truth.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only where they are listed for."""
    listed = tmp_path / "exceptions.yml"
    listed.write_text("- {task: Change without a word, where: [here], why: it cannot know}\n")
    monkeypatch.setattr(truth, "EXCEPTIONS", listed)
    assert len(truth.lies(runs[0], runs[1], "here")) == 1
    assert len(truth.lies(runs[0], runs[1], "elsewhere")) == 2
