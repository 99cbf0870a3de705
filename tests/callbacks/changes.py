"""Writes down which tasks changed which host, one JSON file a playbook run.

Enabled by the environment alone: tests/truth.py sets what it needs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: changes
    type: aggregate
    short_description: writes down which tasks changed which host
    description:
      - One file a playbook run, in the folder that the environment variable CDC_CHANGES_DIR names.
"""


class CallbackModule(CallbackBase):
    """Collects (host, task) of all changes and failures."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "changes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._playbook = ""
        self._changed: list[tuple[str, str]] = []
        self._failed: list[tuple[str, str]] = []

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember the playbook's name."""
        self._playbook = Path(playbook._file_name).stem

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a change."""
        if result.result.get("changed", False):
            self._changed.append(_identify(result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note a failure that ends the host's play."""
        if not ignore_errors:
            self._failed.append(_identify(result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the file; its number keeps the runs in order."""
        folder = Path(os.environ["CDC_CHANGES_DIR"])
        mode = "check" if context.CLIARGS.get("check") else "run"
        path = folder / f"{len(list(folder.iterdir())):03}-{self._playbook}-{mode}.json"
        path.write_text(json.dumps({"changed": self._changed, "failed": self._failed}, indent=1))


def _identify(result: Any) -> tuple[str, str]:
    role = result.task._role
    name = result.task_name.removeprefix(f"{role.get_name()} : ") if role else result.task_name
    return result.host.get_name(), f"{role.get_name()} : {name}" if role else name
