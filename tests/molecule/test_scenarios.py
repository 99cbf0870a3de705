"""Each Molecule scenario as one test, and whether its check mode told the truth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import truth

ROOT = truth.ROOT
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
# Each of the servers that a row passes. The others take as long again.
ALWAYS = {"postgres_cdc", "debezium", "kafka", "spark_master", "thrift"}


def molecule(scenario: str, *command: str, changes: Path) -> None:
    """Run a Molecule command; show the end of its output when it fails."""
    environment = truth.environment(changes)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["ANSIBLE_FORCE_COLOR"] = "0"
    done = subprocess.run(
        ["molecule", "--base-config", str(ROOT / ".config/molecule/config.yml"), *command, "-s", scenario],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-80:])
        said = f"molecule {' '.join(command)} -s {scenario}: exit {done.returncode}\n{tail}"
        pytest.fail(said, pytrace=False)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in SCENARIOS],
)
def test_scenario(scenario: str, tmp_path: Path) -> None:
    """The whole sequence passes, and --check announced exactly what the first run changed.

    With a drift.yml the scenario goes on: what it plants is announced by --check and mended by the next run.
    """
    first, drifted = tmp_path / "first", tmp_path / "drifted"
    try:
        molecule(scenario, "test", "--destroy=never", changes=first)
        bare_check, first_run, second_run, second_check = truth.runs(first)
        assert first_run.changed, "the first run on a bare host changed nothing"
        assert truth.lies(bare_check, first_run, scenario) == []
        assert not second_run.changed
        assert not second_check.changed

        if (ROOT / "molecule" / scenario / "drift.yml").exists():
            molecule(scenario, "side-effect", changes=tmp_path / "planted")
            molecule(scenario, "check", changes=drifted)
            molecule(scenario, "converge", changes=drifted)
            molecule(scenario, "idempotence", changes=drifted)
            molecule(scenario, "verify", changes=tmp_path / "verified")
            check, run, again = truth.runs(drifted)
            assert run.changed, "the planted drift was not found"
            assert truth.lies(check, run, scenario) == []
            assert not again.changed
    finally:
        molecule(scenario, "destroy", changes=tmp_path / "destroyed")
        shutil.rmtree(tmp_path, ignore_errors=True)
