"""Each Molecule scenario as one test, and whether its check mode told the truth."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import truth

ROOT = truth.ROOT
SETTINGS = ROOT / ".config" / "molecule"
BASES = ["config.yml"] if os.environ.get("CDC_LONG_TESTS") else ["config.yml", "short.yml"]
LOGS = ROOT / "build" / "molecule"
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
SHORT = {"debezium", "kafka", "postgres_cdc", "spark_master", "thrift"}
"""The way from the source to SQL. The other roles run on the lab, too, and alone in `make test-all`."""


def molecule(scenario: str, *command: str, changes: Path) -> None:
    """Run a Molecule command; show the end of its output when it fails."""
    environment = truth.environment(changes)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["ANSIBLE_FORCE_COLOR"] = "0"
    log = LOGS / f"{scenario}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        begin = output.tell()
        done = subprocess.run(
            ["molecule", *(f"--base-config={SETTINGS / base}" for base in BASES), *command, "-s", scenario],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        words = f"molecule {' '.join(command)} -s {scenario}"
        pytest.fail(f"{words}: exit {done.returncode}, see {log}\n{complaints(log, begin)}", pytrace=False)


def complaints(log: Path, begin: int) -> str:
    """What a log says went wrong, from a place in it on: the tasks that failed, or else its end."""
    with log.open() as output:
        output.seek(begin)
        tasks = re.split(r"\n\n(?=TASK |PLAY |RUNNING )", output.read())
    failed = [task for task in tasks if re.search(r"^(fatal|failed): |^ERROR|^\[ERROR\]", task, re.MULTILINE)]
    return "\n\n".join(task[:3000] for task in failed or tasks[-5:])


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in SCENARIOS]
)
def test_scenario(scenario: str, tmp_path: Path) -> None:
    """The whole sequence passes, and --check announced exactly what the run after it changed.

    On the bare host; after the second run nothing; and, where the sequence has a drift, on the damaged host.
    """
    changes = tmp_path / "changes"
    (LOGS / f"{scenario}.log").unlink(missing_ok=True)
    try:
        molecule(scenario, "test", "--destroy=never", changes=changes)
        bare_check, first_run, second_run, *later = truth.runs(changes)
        assert first_run.changed, "the first run on a bare host changed nothing"
        assert truth.lies(bare_check, first_run, scenario) == []
        assert not second_run.changed
        match later:
            case []:
                assert not os.environ.get("CDC_LONG_TESTS")
            case [check]:
                assert not check.changed
            case [check, run]:
                assert run.changed, "the planted drift was not found"
                assert truth.lies(check, run, scenario) == []
            case _:
                pytest.fail(f"the sequence of {scenario} has {len(later)} more runs than this test knows")
    finally:
        molecule(scenario, "destroy", changes=tmp_path / "destroyed")
        shutil.rmtree(tmp_path, ignore_errors=True)
