# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Fetch locked files, from a Maven repository or from URLs of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    file_name,
    maven_coordinates,
    sha256_of,
)

PARALLEL = 8
_PIECE = 1 << 20


class FetchError(Exception):
    """A file could not be had; the message names it and the reason."""


def fetch_files(
    files: Iterable[dict[str, str]],
    folder: Path,
    repository: str,
    say: Callable[[str], object],
    every: float = 10.0,
) -> int:
    """Fetch files of the lock into a folder, several at a time.

    Args:
        files: The files.
        folder: The folder.
        repository: URL of the Maven repository of those that have no URL of their own.
        say: Is told each file that has come, and how far the others are when none comes for a while.
        every: That while, in seconds.

    Returns:
        How many files there are.

    Raises:
        FetchError: Of the first file that could not be had. What is under way by then comes to its end.
    """
    arrived: dict[str, int] = {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        fetching = [pool.submit(fetch_file, file, folder, repository, arrived) for file in files]
        pending = set(fetching)
        while pending:
            done, pending = wait(pending, every, FIRST_COMPLETED)
            if not done:
                so_far = [f"{name} {size >> 20} MB" for name, size in sorted(dict(arrived).items())]
                say(f"     ... {', '.join(so_far) or 'nothing yet'}")
            for one in done:
                if error := one.exception():
                    for other in pending:
                        other.cancel()
                    raise error
                name = one.result()
                arrived.pop(name, None)
                say(f"{len(fetching) - len(pending):4} of {len(fetching)}: {name}")
    return len(fetching)


def fetch_file(
    file: dict[str, str], folder: Path, repository: str, arrived: dict[str, int] | None = None
) -> str:
    """Fetch a file of the lock into a folder; what is not what the lock says never gets there.

    Args:
        file: The file, as the lock has it.
        folder: The folder.
        repository: URL of the Maven repository of a file that has no URL of its own.
        arrived: Is kept up to date with the bytes that have come, by the file's name.

    Returns:
        The file's name.

    Raises:
        FetchError: The server does not answer, lacks the file or has another.
    """
    name: str = file_name(file)
    url = file.get("url") or maven_url(file, name, repository)
    server = urlsplit(url).hostname or urlsplit(url).path or url  # no more of a URL: it may hold a password
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(handle, "wb") as target, open_url(url, timeout=60) as source:
            size = 0
            while piece := source.read(_PIECE):
                target.write(piece)
                size += len(piece)
                if arrived is not None:
                    arrived[name] = size
        found = sha256_of(Path(partial))
        if found != file["sha256"]:
            raise FetchError(
                f"{server} has another {name} than the lock: "
                f"expected SHA-256 {file['sha256']}, found {found}."
            )
        Path(partial).chmod(0o644)
        Path(partial).replace(folder / name)
    except (OSError, ValueError) as error:
        raise FetchError(f"Could not fetch {file.get('maven', name)} from {server}: {error}.") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    return name


def maven_url(file: dict[str, str], name: str, repository: str) -> str:
    """Where a Maven repository keeps a file."""
    group, artifact, version, _classifier, _extension = maven_coordinates(file["maven"])
    return "/".join([repository.rstrip("/"), group.replace(".", "/"), artifact, version, name])
