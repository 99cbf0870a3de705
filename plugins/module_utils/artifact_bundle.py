# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""The controller's half of an artifact: what the cache must hold, whether it does, the bundle made of it."""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

# Part of the digest that names a node's folder: a change of the way bundles are built makes new ones.
FORMAT = 1
# One time for every file: bundles are the same to the byte whoever makes them.
MTIME = 1_700_000_000


# Where a file's checksum is from, unless the entry says otherwise in C(lock).
LOCK = "files/artifacts.lock.yml"


class ArtifactError(Exception):
    """Something is wrong with a download; the message says what and the way out."""


def file_name(file: dict[str, str]) -> str:
    """Name a locked file in the cache, as its registry names it."""
    if "file" in file:
        return file["file"]
    _, artifact, version, classifier, extension = maven_coordinates(file["maven"])
    return f"{artifact}-{version}{'-' + classifier if classifier else ''}.{extension}"


def maven_coordinates(text: str) -> tuple[str, str, str, str, str]:
    """Split ``group:artifact[:classifier[:extension]]:version``.

    Returns:
        group, artifact, version, classifier (may be empty), extension.
    """
    group, artifact, *middle, version = text.split(":")
    classifier, extension = [*middle, "", ""][:2]
    return group, artifact, version, classifier, extension or "jar"


def sha256_of(path: Path) -> str:
    """Hash a file without reading it into memory at once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Artifact:
    """One entry of the lock, and its place in the cache."""

    def __init__(self, name: str, entry: dict[str, Any], cache: str | Path) -> None:
        self.name = name
        self.entry = entry
        self.cache = Path(cache)
        self.own = {
            str(PurePosixPath(target) / path.relative_to(source)): path
            for target, source in entry.get("trees", {}).items()
            for path in _sources(Path(source))
        }
        content = {place: sha256_of(path) for place, path in self.own.items()}
        text = json.dumps([FORMAT, content or _contents(entry)], sort_keys=True)
        self.directory = f"{name}-{entry['version']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.bundle = self.cache / "bundles" / f"{self.directory}.tar"

    @property
    def files(self) -> list[dict[str, str]]:
        """The entry's locked files."""
        files: list[dict[str, str]] = self.entry.get("files", [])
        return files

    def path_of(self, file: dict[str, str]) -> Path:
        """Where the cache keeps a locked file."""
        return self.cache / "files" / file_name(file)

    def missing(self) -> list[dict[str, str]]:
        """The locked files that the cache lacks."""
        return [file for file in self.files if not self.path_of(file).exists()]

    def verify(self, *, again: bool = False) -> None:
        """Compare every file in the cache with the lock.

        A file that was compared before is read again when its size or times are others, or when ``again``.

        Raises:
            ArtifactError: A file is not what the lock says.
        """
        noted = self._noted()
        known = dict(noted)
        for file in self.files:
            path = self.path_of(file)
            if not path.exists():
                continue
            status = path.stat()
            stamp = [file["sha256"], status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            if known.get(path.name) == stamp and not again:
                continue
            if (found := sha256_of(path)) != file["sha256"]:
                raise ArtifactError(
                    f"{path} is not what {self.entry.get('lock', LOCK)} says of {self.name}: expected "
                    f"SHA-256 {file['sha256']}, found {found}. Nothing was unpacked. Delete the file and run "
                    "again; if it comes back the same, the mirror serves another file."
                )
            known[path.name] = stamp
        if known != noted:
            self._note(known)

    def _note(self, known: dict[str, list[Any]]) -> None:
        """Note what was compared, unless the cache is somebody else's."""
        partial = self.cache / f"verified.{os.getpid()}.partial"
        with suppress(OSError):
            partial.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n")
            partial.replace(self.cache / "verified.json")

    def _noted(self) -> dict[str, list[Any]]:
        """The files that were compared, by name: checksum, size and times."""
        try:
            noted: dict[str, list[Any]] = json.loads((self.cache / "verified.json").read_text())
        except (OSError, ValueError):
            return {}
        return noted

    def build(self) -> str:
        """Make the bundle unless a sound one is there.

        Returns:
            The bundle's SHA-256.
        """
        checksum = self.bundle.with_suffix(".tar.sha256")
        self.bundle.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.bundle.with_suffix(".lock")):
            if self.bundle.exists() and checksum.exists():
                noted = checksum.read_text().strip()
                if sha256_of(self.bundle) == noted:
                    return noted
            partial = self.bundle.with_suffix(".partial")
            with (
                partial.open("wb") as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
            ):
                self._fill(tar)
            found = sha256_of(partial)
            checksum.write_text(found + "\n")
            partial.replace(self.bundle)
            return found

    def _fill(self, tar: tarfile.TarFile) -> None:
        folder = PurePosixPath(self.entry.get("folder", "."))
        for file in self.files:
            path = self.path_of(file)
            if self.entry.get("unpack") and path.suffix != ".jar":
                self._unpack(path, tar)
            else:
                with path.open("rb") as stream:
                    _add(tar, str(folder / path.name), stream, path.stat().st_size, 0o644)
        for place, path in sorted(self.own.items()):
            with path.open("rb") as stream:
                _add(tar, place, stream, path.stat().st_size, 0o644)
        if self.entry.get("venv"):
            text = requirements(self.files).encode()
            _add(tar, str(folder / "requirements.txt"), io.BytesIO(text), len(text), 0o644)

    def _unpack(self, archive: Path, tar: tarfile.TarFile) -> None:
        found = False
        for member, stream, size, mode in _members(archive):
            place = self.place_of(member)
            if place:
                found = True
                _add(tar, place, stream, size, mode)
        if not found:
            raise ArtifactError(f"{archive} holds nothing of what files/artifacts.yml keeps of {self.name}.")

    def place_of(self, member: str) -> str | None:
        """Where a member of an archive goes in the entry's folder; nothing when it is not wanted."""
        for source, target in self.entry["unpack"].items():
            if member == source or member.startswith(source + "/"):
                place = str(PurePosixPath(target) / PurePosixPath(member).relative_to(source))
                if _matches(place, self.entry.get("keep", ["*"])) and not _matches(
                    place, self.entry.get("drop", [])
                ):
                    return place
        return None


def _contents(entry: dict[str, Any]) -> dict[str, Any]:
    """What names an entry's folder: not where files come from, since another mirror is no other version."""
    if "files" not in entry:
        return entry
    files = [{key: value for key, value in file.items() if key != "url"} for file in entry["files"]]
    return {**entry, "files": files}


def requirements(files: list[dict[str, str]]) -> str:
    """The locked Python distributions in pip's own words."""
    return "".join(f"{file['pypi']} --hash=sha256:{file['sha256']}\n" for file in files)


def _sources(folder: Path) -> list[Path]:
    """The files of a program of this collection, without what Python and people leave beside them."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix in (".ipynb", ".py", ".sql") and "__pycache__" not in path.parts
    ]
    if not found:
        raise ArtifactError(f"{folder} holds no program.")
    return sorted(found)


def _matches(place: str, globs: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(place, glob) for glob in globs)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes], int, int]]:
    """The files of a tar.gz or a wheel in their order: name, content, size, mode."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if not info.is_dir():
                    with wheel.open(info) as stream:
                        yield info.filename, stream, info.file_size, info.external_attr >> 16
        return
    with tarfile.open(archive, mode="r|gz") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content:
                yield member.name, content, member.size, member.mode


def _add(tar: tarfile.TarFile, place: str, stream: IO[bytes], size: int, mode: int) -> None:
    info = tarfile.TarInfo(place)
    info.size = size
    info.mtime = MTIME
    info.mode = 0o755 if mode & 0o100 else 0o644
    tar.addfile(info, stream)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time build a bundle."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
