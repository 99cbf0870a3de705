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
SHORT_SEQUENCE = "short.yml"
BASES = ["config.yml", *([] if os.environ.get("CDC_LONG_TESTS") else [SHORT_SEQUENCE])]
LOGS = ROOT / "build" / "molecule"
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
SHORT = {"debezium", "kafka", "postgres_cdc"}
"""The way from the source to Kafka. The others run in `make test-all`; all but Metabase on the lab, too."""


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

    A scenario without a drift.yml, and the short sequence, plant none: the runs end with the second check.
    """
    changes = tmp_path / "changes"
    (LOGS / f"{scenario}.log").unlink(missing_ok=True)
    try:
        molecule(scenario, "test", "--destroy=never", changes=changes)
        bare_check, first_run, second_run, second_check, *drifted = truth.runs(changes)
        assert first_run.changed, "the first run on a bare host changed nothing"
        assert truth.lies(bare_check, first_run, scenario) == []
        assert not second_run.changed
        assert not second_check.changed
        has_drift = (ROOT / "molecule" / scenario / "drift.yml").exists()
        assert bool(drifted) == (has_drift and SHORT_SEQUENCE not in BASES)
        if drifted:
            check, run = drifted
            assert run.changed, "the planted drift was not found"
            assert truth.lies(check, run, scenario) == []
    finally:
        molecule(scenario, "destroy", changes=tmp_path / "destroyed")
        shutil.rmtree(tmp_path, ignore_errors=True)
