"""Run ansible-test sanity on the collection as it is built and installed, outside the checkout.

ansible-test makes virtual environments of its own, for which it downloads a pip installer from its project's
site and forgets the machine's certificates. It is given a home folder where both are at hand.
"""
# ruff: noqa: S603 - every command here is our own

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("CDC_LAKEHOUSE_CACHE") or Path.home() / ".cache" / "cdc-lakehouse") / "sanity"
BIN = Path(sys.executable).parent
# Ruff and mypy look at the same things as these, and faster.
SKIPPED = ["pylint"]
INSTALL_PIP = """\
import ensurepip, os, subprocess, sys

ensurepip.bootstrap()
del os.environ["PIP_CONFIG_FILE"]  # ensurepip turns the settings off
words = [word for word in sys.argv[1:] if not word.startswith("--no-")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *words], check=False).returncode)
"""


def home() -> Path:
    """Make the home folder; return it."""
    folder = CACHE / "home"
    installers = folder / ".ansible" / "test" / "cache"
    installers.mkdir(parents=True, exist_ok=True)
    (installers / "get_pip_24_2.py").write_text(INSTALL_PIP)
    settings = folder / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"[global]\ncert = {ssl.get_default_verify_paths().cafile}\n")
    return folder


def main() -> int:
    """Build, install, test; return the exit code."""
    for name in ("build", "ansible_collections"):
        shutil.rmtree(CACHE / name, ignore_errors=True)
    galaxy: list[str | Path] = [BIN / "ansible-galaxy", "collection"]
    subprocess.run(
        [*galaxy, "build", "--output-path", CACHE / "build"], check=True, stdout=subprocess.DEVNULL
    )
    (tarball,) = (CACHE / "build").glob("*.tar.gz")
    options: list[str | Path] = ["--offline", "--no-deps", "--force", "--collections-path", CACHE]
    subprocess.run([*galaxy, "install", *options, tarball], check=True, stdout=subprocess.DEVNULL)
    # What our plugins import from others is beside the collection, as at a user's.
    (CACHE / "ansible_collections" / "community").symlink_to(
        next((BIN.parent / "lib").glob("python3.*/site-packages/ansible_collections/community"))
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    skipped = [f"--skip-test={name}" for name in SKIPPED]
    return subprocess.run(
        [BIN / "ansible-test", "sanity", f"--python={version}", *skipped],
        cwd=CACHE / "ansible_collections" / "cdc" / "lakehouse",
        env={**os.environ, "HOME": str(home())},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
