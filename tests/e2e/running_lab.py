"""The running lab, and ways to look at it and act on it as a user would."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests import truth

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = str(ROOT / ".venv/bin/ansible-playbook")
T = TypeVar("T")


def eventually(what: str, look: Callable[[], T | None], timeout: float = 400) -> T:
    """Look every second until something true is seen, and give it back."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"not seen within {timeout:.0f} s: {what}; at last: {seen!r}")
        time.sleep(1)


class Lab:
    """The three nodes, by the commands that a user has."""

    nodes = ("node1", "node2", "node3")
    up = ""
    """What `make up` said, where the tests brought it up."""
    on_bare_nodes: tuple[truth.Run, truth.Run] | None = None
    """What --check announced on bare nodes, and what `make up` changed there then, where the tests saw it."""

    def bring_up(self, folder: Path) -> None:
        """Run `make up`; in a long run, where nothing is there yet, after a check of the bare nodes."""
        recorded = truth.environment(folder)
        looks = bool(os.environ.get("CDC_LONG_TESTS")) and not self._disks()
        if looks:
            for name in ("docker", "up"):
                self._local([ANSIBLE_PLAYBOOK, f"lab/{name}.yml"], True)
            self.playbook("site", "--check", environment=recorded)
        self.up = self._local(["make", "--no-print-directory", "up"], True, recorded).stdout
        if looks:
            check, run = truth.runs(folder, "site")
            self.on_bare_nodes = check, run

    def _disks(self) -> str:
        command = ["docker", "volume", "ls", "--quiet", "--filter", "name=^cdc-lakehouse-"]
        return subprocess.run(command, text=True, capture_output=True, check=False).stdout

    def make(self, target: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a target of the Makefile."""
        words = [
            "make",
            "--no-print-directory",
            target,
            *(f"{name}={value}" for name, value in variables.items()),
        ]
        return self._local(words, check)

    def playbook(
        self, name: str, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on the lab."""
        words = [ANSIBLE_PLAYBOOK, "-i", "inventories/lab", f"playbooks/{name}.yml"]
        return self._local([*words, *arguments], check, environment)

    def _local(
        self, words: Sequence[str], check: bool, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            text=True,
            capture_output=True,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}")
        return done

    def run(self, node: str, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command on a node and give what it prints."""
        command = ["docker", "exec", *(["-i"] if stdin is not None else []), f"cdc-lakehouse-{node}", *words]
        done = subprocess.run(command, text=True, input=stdin, capture_output=True, check=False)
        if check and done.returncode:
            pytest.fail(
                f"{' '.join(words)} on {node} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout.strip()

    def psql(self, statement: str, database: str = "shop") -> list[list[str]]:
        """Run a statement in the source database as its superuser."""
        words = (
            "runuser",
            "-u",
            "postgres",
            "--",
            "psql",
            "-XAtq",
            "-F",
            "\t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
        )
        return [line.split("\t") for line in self.run("node1", *words, stdin=statement).splitlines()]

    def sql(self, query: str) -> list[dict[str, str]]:
        """Query the lakehouse as the BI user."""
        return list(csv.DictReader(io.StringIO(self.make("sql", SQL=query).stdout)))

    def status(self) -> dict[str, Any]:
        """What `make status` says, for programs."""
        said: dict[str, Any] = json.loads(self.make("status", check=False, FORMAT="json").stdout)
        return said

    def pipeline(self) -> dict[str, Any]:
        """What the pipeline says of itself; nothing else is asked."""
        said: dict[str, Any] = json.loads(self.run("node2", "cat", "/run/lakehouse-pipeline/status.json"))
        return said

    def gold_as_of(self) -> float:
        """The moment whose commits gold has in full, in seconds since 1970."""
        said = self.pipeline()
        return float(said["written_at"] - said["layers"]["gold"]["freshness_seconds"])

    def units(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Main process and start of every unit that the lakehouse runs, by node and unit."""
        shown = {}
        for node in self.nodes:
            names = self.run(node, "sh", "-c", "ls /etc/systemd/system | grep '[.]service$'").splitlines()
            for name in [*names, "postgresql@15-main.service", "slapd.service"]:
                properties = self.run(
                    node, "systemctl", "show", "-p", "MainPID,ActiveEnterTimestampMonotonic", name
                )
                pid, since = re.findall(r"=(.*)", properties)
                if pid != "0":
                    shown[node, name] = (pid, since)
        return shown
