"""The screen callback, as a person at a terminal and as a pipe sees it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Look around
      ansible.builtin.command: sleep 2
      changed_when: false
    - name: Tell
      ansible.builtin.debug:
        msg: All is well.
"""


@pytest.fixture
def playbook(tmp_path: Path) -> list[str]:
    """The command that runs a playbook of two tasks."""
    file = tmp_path / "playbook.yml"
    file.write_text(PLAYBOOK, encoding="utf-8")
    return ["ansible-playbook", "-i", "localhost,", "-c", "local", str(file)]


ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_STDOUT_CALLBACK": "cdc.lakehouse.screen",
    "TERM": "xterm",
    "COLUMNS": "80",
}


def test_a_terminal_is_told_what_runs_and_for_how_long(playbook: list[str]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        playbook, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # nobody writes to it any more
            break
    os.close(ours)
    assert re.search(r"Look around · [1-9]\d* s", said.decode())
    assert said.endswith(b"\r\x1b[K")
    assert done.stdout == "All is well.\n"


def test_a_pipe_is_told_only_what_was_asked_for(playbook: list[str]) -> None:
    done = subprocess.run(playbook, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("All is well.\n", "")
