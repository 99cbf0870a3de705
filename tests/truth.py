"""Does check mode tell the truth? Compares what a `--check` run and the run after it changed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "tests" / "truth_exceptions.yml"

Change = tuple[str, str]


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    Attributes:
        playbook: The playbook's name without its ending.
        check: Whether it ran with --check.
        changed: Every (host, task) that reported a change.
    """

    playbook: str
    check: bool
    changed: frozenset[Change]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment that makes ansible-playbook write its changes into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return os.environ | {
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "changes",
        "CDC_CHANGES_DIR": str(folder),
    }


def runs(folder: Path, playbook: str = "converge") -> list[Run]:
    """Return the runs of one playbook, oldest first."""
    found = []
    for path in sorted(folder.glob(f"*-{playbook}-*.json")):
        changed = frozenset((host, task) for host, task in json.loads(path.read_text())["changed"])
        found.append(Run(playbook, path.stem.endswith("-check"), changed))
    return found


def exceptions(where: str) -> frozenset[str]:
    """Return the tasks whose difference is known and explained, for a scenario or for `site`."""
    entries = yaml.safe_load(EXCEPTIONS.read_text()) or []
    return frozenset(entry["task"] for entry in entries if where in entry["where"])


def lies(check: Run, run: Run, where: str) -> list[str]:
    """List where a check differs from the run that followed it, the explained exceptions aside."""
    known = exceptions(where)
    unannounced = sorted(change for change in run.changed - check.changed if change[1] not in known)
    undone = sorted(change for change in check.changed - run.changed if change[1] not in known)
    return [
        *(f"changed, not announced by --check: {host}: {task}" for host, task in unannounced),
        *(f"announced by --check, not changed: {host}: {task}" for host, task in undone),
    ]
