"""What the SQLite files on the driver's disk share: caches of what Delta tables say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    """Opens a store, or begins an empty one."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # It can be lost, it is made anew then; but not in part, with the machine's power for instance.
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is done in it."""
    db.execute("BEGIN")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def remove(path: Path) -> None:
    """Deletes a store; nothing of it stays on the disk, where erased rows would be found."""
    for end in ("-wal", "-shm", ""):  # the database last: to another one its log would be applied
        path.with_name(path.name + end).unlink(missing_ok=True)


def quoted(name: str) -> str:
    """A name as SQLite's SQL has it."""
    return '"' + name.replace('"', '""') + '"'
