"""A PostgreSQL 15 on this machine, which is told by the folder of its socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
# Others than those that what is tested could rely on.
SETTINGS = "-c timezone=Asia/Kolkata -c datestyle=german"


@contextmanager
def running() -> Iterator[str]:
    """Run one with an empty database `postgres`; skips where it is not installed."""
    if not PROGRAMS.exists():
        pytest.skip("PostgreSQL 15 is not installed")
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    folder = tempfile.mkdtemp(prefix="postgresql-")
    if user:
        shutil.chown(folder, user)

    def run(*words: str) -> None:
        subprocess.run(
            [PROGRAMS / words[0], *words[1:]], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )

    data = ("-D", f"{folder}/data")
    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", *data)
    options = f"{SETTINGS} -c fsync=off -c listen_addresses= -c unix_socket_directories={folder}"
    run("pg_ctl", *data, "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        yield folder
    finally:
        run("pg_ctl", *data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def execute(folder: str, statements: str) -> None:
    """Execute statements there as its owner."""
    with closing(psycopg2.connect(host=folder, user="postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(statements)
