"""The latest version of each row of a table, at hand on local disk.

A cache of what the Delta table says, in SQLite: a batch finds the heads of its keys without reading the
table, so what a batch costs does not grow with the history. It is made anew from the table whenever it
does not tell the table's version.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from lakehouse import local_store
from lakehouse.local_store import quoted, remove, transaction
from lakehouse.scd2 import Key, Mark, Position, Version

_MARKS = [
    f"{mark}_{name}"
    for mark in ("began", "applied")
    for name in ("epoch", "partition", "offset", "lsn", "at", "op", "tx_id")
]
# An ended head ended with the event that was applied last.
_COLUMNS = ["file", "place", "number", "ended", *_MARKS]


log = logging.getLogger(__name__)


class Head(NamedTuple):
    """A head, and where the Delta table has it: a row of a data file."""

    version: Version
    file: str
    place: int


class Heads:
    """The heads of one table."""

    def __init__(self, path: Path, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """Open the store, or begin an empty one: also when columns or key are others than they were.

        Args:
            path: The SQLite file. One that is damaged is deleted.
            columns: The types of the table's columns, in the order of its rows.
            key: The names of the key columns.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._key = f"key {_text(key)}"  # to be named otherwise when keys are written otherwise
        self._names = [self._key, *_COLUMNS, *(f"{name}: {kind}" for name, kind in columns.items())]
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged (%s) and made anew", path, error)
            remove(self._path)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = local_store.connect(self._path)
        if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            db.close()
            raise sqlite3.DatabaseError(found)
        names = ", ".join(quoted(name) for name in self._names[1:])
        heads = f"heads ({quoted(self._key)} TEXT PRIMARY KEY, {names}) WITHOUT ROWID"
        db.execute(f"CREATE TABLE IF NOT EXISTS {heads}")
        db.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        present = [row[1] for row in db.execute("PRAGMA table_info(heads)")]
        if present != self._names:
            db.execute("DROP TABLE heads")
            db.execute("DELETE FROM state")
            db.execute(f"CREATE TABLE {heads}")
        return db

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    @property
    def state(self) -> dict[str, Any]:
        """What was noted with the last change; empty when nothing is known."""
        return {name: json.loads(value) for name, value in self._db.execute("SELECT name, value FROM state")}

    def of(self, keys: Iterable[Key]) -> dict[Key, Head]:
        """The heads of some keys."""
        wanted = _text([_text(key) for key in set(keys)])
        joined = f"json_each(?) AS wanted JOIN heads ON heads.{quoted(self._key)} = wanted.value"
        query = f"SELECT {self._selected} FROM {joined}"  # noqa: S608
        return dict(map(self._head, self._db.execute(query, [wanted])))

    def open(self) -> Iterator[tuple[Key, Head]]:
        """Every open head."""
        query = f"SELECT {self._selected} FROM heads WHERE NOT ended"  # noqa: S608
        return map(self._head, self._db.execute(query))

    def after(self, mark: Mark) -> Iterator[tuple[Key, Head]]:
        """Every head that an event of a higher LSN touched last, in the epoch of a mark."""
        query = f"SELECT {self._selected} FROM heads WHERE applied_epoch = ? AND applied_lsn > ?"  # noqa: S608
        return map(self._head, self._db.execute(query, [mark.position.epoch, mark.lsn]))

    def begin_anew(self) -> None:
        """Forget everything; nothing of it stays on the disk, where erased rows would be found."""
        self._db.close()
        remove(self._path)
        self._db = self._open()

    def put(self, heads: Iterable[tuple[Key, Head]], state: dict[str, Any]) -> None:
        """Notes heads that are new or changed, and the state that they belong to, at once."""
        into = f"INSERT OR REPLACE INTO heads VALUES ({', '.join('?' * len(self._names))})"  # noqa: S608
        with transaction(self._db):
            self._db.executemany(into, (_values(key, head) for key, head in heads))
            self._db.executemany(
                "INSERT OR REPLACE INTO state VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in state.items()],
            )

    def move(self, places: Iterable[tuple[Key, int]], file: str) -> None:
        """Notes where heads are now; they are as they were.

        Args:
            places: Keys, and the rows of a file that their heads have become.
            file: The file.
        """
        where = f"UPDATE heads SET file = ?, place = ? WHERE {quoted(self._key)} = ?"  # noqa: S608
        with transaction(self._db):
            self._db.executemany(where, ((file, place, _text(key)) for key, place in places))

    @property
    def _selected(self) -> str:
        return ", ".join(f"heads.{quoted(name)}" for name in self._names)

    def _head(self, values: Sequence[Any]) -> tuple[Key, Head]:
        key, file, place, number, ended = values[:5]
        began, applied = (Mark(Position(*values[at : at + 3]), *values[at + 3 : at + 7]) for at in (5, 12))
        version = Version(tuple(values[19:]), number, began, applied, applied if ended else None)
        return tuple(orjson.loads(key)), Head(version, file, place)


def _text(key: Sequence[Any]) -> str:
    return orjson.dumps(key).decode()


def _values(key: Key, head: Head) -> tuple[Any, ...]:
    (row, number, began, applied, ended), file, place = head
    marks = (*began.position, *began[1:], *applied.position, *applied[1:])
    return (_text(key), file, place, number, ended is not None, *marks, *row)
