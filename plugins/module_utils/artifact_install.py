# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""The node's half of an artifact: whether its folder is whole, and how it is made of a bundle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import ArtifactError, sha256_of

MANIFEST = ".manifest.json"


class Installation:
    """A versioned folder under the root and the link that names the current one."""

    def __init__(self, root: str | Path, name: str, directory: str) -> None:
        self.root = Path(root)
        self.name = name
        self.folder = self.root / directory
        self.link = self.root / name

    def differences(self) -> list[str]:
        """What keeps the folder from being what was unpacked, by size, time and mode: no content is read."""
        try:
            noted: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())["files"]
        except (OSError, ValueError, LookupError):
            return ["not installed"]
        found = snapshot(self.folder)
        return sorted(place for place in noted.keys() | found.keys() if noted.get(place) != found.get(place))

    def linked(self) -> bool:
        """Whether the link names this folder."""
        return self.link.is_symlink() and str(self.link.readlink()) == self.folder.name

    def manifest(self) -> str:
        """The manifest's SHA-256: another one after each installation, also of the same version."""
        found: str = sha256_of(self.folder / MANIFEST)
        return found

    def install(self, bundle: Path, sha256: str) -> None:
        """Unpack the bundle beside the place, move it there, and note last what was unpacked.

        Raises:
            ArtifactError: The bundle was damaged on its way, or its Python packages do not install.
        """
        found = sha256_of(bundle)
        if found != sha256:
            raise ArtifactError(
                f"{bundle} was damaged on its way to the node: expected SHA-256 {sha256}, found {found}. "
                "Nothing was unpacked. Run again."
            )
        partial = self.root / f".{self.folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o755)
        with tarfile.open(bundle) as tar:
            tar.extractall(partial)  # noqa: S202 - a bundle of ours, its checksum compared above
        for path in [partial, *partial.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)
        wheels = self.folder / "wheels"
        if (wheels / "requirements.txt").exists():
            _make_venv(self.folder, wheels)
        manifest = {"installed": time.time_ns(), "files": snapshot(self.folder)}
        (self.folder / MANIFEST).write_text(json.dumps(manifest, indent=0, sort_keys=True) + "\n")

    def point(self) -> None:
        """Move the link here in one step."""
        fresh = self.root / f".{self.name}.link"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.folder.name)
        fresh.replace(self.link)

    def prune(self, previous: str | None) -> None:
        """Remove superseded folders except the one that was current before."""
        versions = re.compile(re.escape(self.name) + r"-.+-[0-9a-f]{12}")
        for path in self.root.iterdir():
            if versions.fullmatch(path.name) and path.name not in (self.folder.name, previous):
                shutil.rmtree(path)


def snapshot(folder: Path) -> dict[str, Any]:
    """Note every file's size, time and mode, and every link's target; Python's own caches left out."""
    noted: dict[str, Any] = {}
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in [*files, *(name for name in folders if Path(where, name).is_symlink())]:
            path = Path(where, name)
            status = path.lstat()
            place = str(path.relative_to(folder))
            if path.is_symlink():
                noted[place] = str(path.readlink())
            elif place != MANIFEST:
                noted[place] = [status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid]
    return noted


def _make_venv(folder: Path, wheels: Path) -> None:
    """Make a virtual environment of what the bundle brought, and of nothing else."""
    python = folder / "bin" / "python"
    pip = next(wheels.glob("pip-*.whl")) / "pip"
    install = ["install", "--quiet", "--isolated", "--disable-pip-version-check", "--root-user-action=ignore"]
    exactly = f"--no-index --no-deps --require-hashes --requirement {wheels}/requirements.txt".split()
    for command in (
        ["/usr/bin/python3", "-m", "venv", "--without-pip", str(folder)],
        [str(python), str(pip), *install, f"--find-links={wheels}", *exactly],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ArtifactError(
                f"{' '.join(command[:4])} … failed: {(done.stderr or done.stdout).strip()[-2000:]}"
            )
    shutil.rmtree(wheels)
