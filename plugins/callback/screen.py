# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Print what a playbook has to say, and nothing about how it went there."""

from __future__ import annotations

DOCUMENTATION = r"""
name: screen
type: stdout
short_description: Only the messages of debug tasks, and failures
version_added: 0.1.0
author: The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Prints the C(msg) of each M(ansible.builtin.debug) task as it is, to standard output, for a pipe to take.
  - Prints failures to standard error.
  - Where standard error is a terminal, its last line says which task runs and for how many seconds.
requirements:
  - Set as stdout callback, for instance by E(ANSIBLE_STDOUT_CALLBACK=cdc.lakehouse.screen).
"""

import os
import shutil
import threading
import time
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

# What these say was written for the person who reads it.
FOR_PEOPLE = ("ansible.builtin.assert", "ansible.builtin.fail")


STDERR = 2
CLEAR = "\r\033[K"


class StatusLine:
    """What goes on now, and for how long, in one line of a terminal.

    It is written past Python's buffers: their lock, held while Ansible forks, would stop the fork.
    """

    def __init__(self) -> None:
        """No line yet."""
        self._what = ""
        self._since = 0.0
        self._on = os.isatty(STDERR)

    def begin(self, what: str) -> None:
        """Say it from now on."""
        if not self._on:
            return
        if not self._since:
            threading.Thread(target=self._tick, daemon=True).start()
        self._what, self._since = what, time.monotonic()
        self._show()

    def clear(self) -> None:
        """Make room for something else; the line comes back by itself."""
        if self._what:
            os.write(STDERR, CLEAR.encode())

    def end(self) -> None:
        """Say nothing any more."""
        self.clear()
        self._what = ""

    def _tick(self) -> None:
        while True:
            time.sleep(1)
            self._show()

    def _show(self) -> None:
        if self._what:
            text = f"{self._what} · {time.monotonic() - self._since:.0f} s"
            os.write(STDERR, (CLEAR + text[: shutil.get_terminal_size().columns - 1]).encode())


class CallbackModule(CallbackBase):
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "cdc.lakehouse.screen"

    def __init__(self) -> None:
        """Begin without a line."""
        super().__init__()
        self._line = StatusLine()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Say which task runs."""
        self._line.begin(task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Leave the terminal as it was."""
        self._line.end()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Print a message; a loop's come one by one."""
        if result._task.action in C._ACTION_DEBUG and "results" not in result._result:
            self._line.clear()
            self._display.display(str(result._result.get("msg", "")))

    v2_runner_item_on_ok = v2_runner_on_ok

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Print what failed, where, and what it said."""
        if not ignore_errors and "results" not in result._result:
            self._complain(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Print what an item of a loop failed with; the loop itself then has nothing to add."""
        if not result._task.ignore_errors:
            self._complain(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Print which host does not answer."""
        if not result._task.ignore_unreachable:
            self._complain(result)

    def _complain(self, result: Any) -> None:
        said = result._result
        parts = [str(said[key]).strip() for key in ("msg", "censored", "stdout", "stderr") if said.get(key)]
        if result._task.action in FOR_PEOPLE:
            text = parts[0]
        else:
            text = f"{result._host.get_name()}: {result._task.get_name()}: " + "\n".join(parts)
        self._line.clear()
        self._display.display(text, color=C.COLOR_ERROR, stderr=True)
