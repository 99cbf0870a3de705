"""Runs modules and playbooks as users do, against the stand-in."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.gcp.server import PROJECT

ROOT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]
Module = Callable[..., Result]


def module_runner(capsys: pytest.CaptureFixture[str]) -> Module:
    """Give what runs a module of ours in this process: name, options, ``check=True``; its result."""

    def run(name: str, /, *, check: bool = False, **options: Any) -> Result:
        main = importlib.import_module(f"ansible_collections.cdc.lakehouse.plugins.modules.{name}").main
        return run_main(main, {"project": PROJECT, **options}, capsys, check=check)

    return run


def run_main(
    main: Callable[[], None], options: Result, capsys: pytest.CaptureFixture[str], *, check: bool = False
) -> Result:
    """Run a module's main function; what it prints, read."""
    capsys.readouterr()
    with (
        patch_module_args({**options, "_ansible_check_mode": check, "_ansible_diff": True}),
        pytest.raises(SystemExit),
    ):
        main()
    result: Result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return result


def ansible(program: str, *words: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook or ansible-inventory from the checkout."""
    return subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **env},
        capture_output=True,
        text=True,
        check=False,
    )
