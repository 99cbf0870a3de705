# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Fetch one locked file, from a Maven repository or from a URL of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    file_name,
    maven_coordinates,
    sha256_of,
)


class FetchError(Exception):
    """A file could not be had; the message names it and the reason."""


def fetch_file(file: dict[str, str], folder: Path, repository: str) -> str:
    """Fetch a file of the lock into a folder; what is not what the lock says never gets there.

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
            shutil.copyfileobj(source, target, 1 << 20)
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
