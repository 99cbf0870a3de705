"""What a gold model's groups are made of, at hand on local disk.

In SQLite: of each group how many rows it has, and of its aggregates the count, the sum and the number of
different values; where a least, greatest or different value is asked for, each value with how often it
occurs; and the rows of the tables that the model joins, to be found by the columns that it joins them by.
So what a change costs does not grow with the rows that did not change.

It is a cache of what silver says, made anew whenever it does not tell the silver versions that the model
was computed from.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lakehouse import local_store
from lakehouse.aggregates import Aggregate
from lakehouse.local_store import quoted, remove
from lakehouse.values import Value

Values = tuple[Value, ...]
Change = tuple[Values, Values]
"""The keys and the arguments of a row."""

_CACHE_KIB = 32 * 1024  # of each model, while it is made
_LOG_BYTES = 4 * 1024 * 1024


class PartialsError(Exception):
    """The changes do not fit what is kept."""


@dataclass(frozen=True)
class Lookups:
    """How the rows of a joined table are found.

    Attributes:
        columns: The columns that are kept; those that tell the rows apart come first.
        key: How many those are.
        by: The sets of columns that rows are looked up by.
    """

    columns: tuple[str, ...]
    key: int
    by: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Group:
    """A group as it is now.

    Attributes:
        keys: What tells it.
        results: Its aggregates, as values; of `sum` the sum, of `avg` the sum and the count.
    """

    keys: Values
    results: tuple[Value | tuple[int, int], ...]


class Partials:
    """The partial aggregates of one model."""

    def __init__(
        self,
        path: Path,
        identity: str,
        keys: int,
        aggregates: Sequence[Aggregate],
        tables: Mapping[str, Lookups],
    ) -> None:
        """Open the store, or begin an empty one.

        Args:
            path: The SQLite file. One that is damaged, or of another identity, is deleted.
            identity: What all that is kept depends on.
            keys: How many columns tell a group.
            aggregates: What the model makes of the rows of a group.
            tables: The tables that it joins.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._identity = identity
        self._aggregates = aggregates
        self._keys = [f"key{place}" for place in range(keys)]
        self._tables = tables
        self._names = {name: f"rows{place}" for place, name in enumerate(sorted(tables))}
        self.counts = _arguments(aggregates, "count", "sum", "avg")
        self.sums = _arguments(aggregates, "sum", "avg")
        self.values = _arguments(aggregates, "min", "max", "distinct")
        self._distinct = _arguments(aggregates, "distinct")
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            db = self._connect()
            found = db.execute("SELECT value FROM state WHERE name = 'identity'").fetchone()
            if found == (self._identity,):
                return db
            db.close()
        except sqlite3.DatabaseError:
            pass  # it is new, or damaged
        remove(self._path)
        db = self._connect()
        self._create(db)
        return db

    def _connect(self) -> sqlite3.Connection:
        db = local_store.connect(self._path)
        db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        keys = ", ".join(self._keys)
        partials = [f"{kind}{argument}" for kind, argument in self._partials]
        db.execute(
            f"CREATE TABLE groups ({', '.join([*self._keys, 'rows', *partials])}, PRIMARY KEY ({keys})) "
            "WITHOUT ROWID"
        )
        for argument in self.values:
            columns = f"{keys}, value, times, PRIMARY KEY ({keys}, value)"
            db.execute(f"CREATE TABLE values{argument} ({columns}) WITHOUT ROWID")
        for name, lookups in self._tables.items():
            key = ", ".join(map(quoted, lookups.columns[: lookups.key]))
            columns = ", ".join(map(quoted, lookups.columns))
            db.execute(f"CREATE TABLE {self._names[name]} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
            for place, by in enumerate(lookups.by):
                if by != lookups.columns[: len(by)]:  # the primary key serves
                    on = f"{self._names[name]} ({', '.join(map(quoted, by))})"
                    db.execute(f"CREATE INDEX {self._names[name]}_by{place} ON {on}")
        db.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        db.execute("INSERT INTO state VALUES ('identity', ?)", [self._identity])

    @property
    def _partials(self) -> list[tuple[str, int]]:
        return [
            *(("count", argument) for argument in self.counts),
            *(("sum", argument) for argument in self.sums),
            *(("distinct", argument) for argument in self._distinct),
        ]

    @property
    def versions(self) -> Mapping[str, int]:
        """The silver versions that all this is of; empty before it has been made."""
        return self._state("versions")

    @property
    def committed(self) -> Mapping[str, int]:
        """The silver versions that the model's table said it was of then: older ones, where no row of it
        changed since."""
        return self._state("committed")

    def note(self, versions: Mapping[str, int], committed: Mapping[str, int]) -> None:
        """Says which silver versions all this is of, and which ones the model's table says it is of."""
        told = {"versions": versions, "committed": committed}
        rows = [(name, json.dumps(dict(these))) for name, these in told.items()]
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", rows)

    def _state(self, name: str) -> Mapping[str, int]:
        found = self._db.execute("SELECT value FROM state WHERE name = ?", [name]).fetchone()
        versions: dict[str, int] = json.loads(found[0]) if found else {}
        return versions

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing of what is done in it."""
        return local_store.transaction(self._db)

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def begin_anew(self) -> None:
        """Forget everything."""
        self._db.close()
        remove(self._path)
        self._db = self._open()

    def put_groups(self, groups: Iterable[Sequence[Value]]) -> None:
        """Keeps groups: keys, number of rows, then a count for each of `counts` and a sum for `sums`."""
        zeros, width = [0] * len(self._distinct), len(self._keys)
        marks = ", ".join("?" * (len(self._keys) + 1 + len(self._partials)))
        into = f"INSERT INTO groups VALUES ({marks})"
        rows = ([*group[:width], *map(_number, group[width:]), *zeros] for group in groups)
        self._db.executemany(into, rows)

    def put_values(self, argument: int, values: Iterable[Sequence[Value]]) -> None:
        """Keeps values of an argument: keys, value, how often it occurs."""
        marks = ", ".join("?" * (len(self._keys) + 2))
        self._db.executemany(f"INSERT INTO values{argument} VALUES ({marks})", values)

    def count_distinct(self) -> None:
        """Counts the different values of each group, when all were put."""
        same = " AND ".join(f"found.{key} = groups.{key}" for key in self._keys)
        for argument in self._distinct:
            number = f"(SELECT count(*) FROM values{argument} AS found WHERE {same})"
            self._db.execute(f"UPDATE groups SET distinct{argument} = {number}")

    def put_rows(self, table: str, rows: Iterable[Values]) -> None:
        """Keeps rows of a joined table."""
        marks = ", ".join("?" * len(self._tables[table].columns))
        self._db.executemany(f"INSERT INTO {self._names[table]} VALUES ({marks})", rows)

    def take_rows(self, table: str, rows: Iterable[Values]) -> None:
        """Takes rows of a joined table away."""
        lookups, gone = self._tables[table], list(rows)
        same = " AND ".join(f"{quoted(name)} = ?" for name in lookups.columns[: lookups.key])
        keys = [row[: lookups.key] for row in gone]
        done = self._db.executemany(f"DELETE FROM {self._names[table]} WHERE {same}", keys)
        if done.rowcount != len(gone) and gone:
            raise PartialsError(f"{len(gone)} rows of {table} went, {done.rowcount} of them were there")

    def rows(self, table: str, by: Sequence[str], wanted: Iterable[Values]) -> list[Values]:
        """The rows of a joined table that have some values in some columns."""
        names = ", ".join(f"found.{quoted(name)}" for name in self._tables[table].columns)
        return self._found(self._names[table], names, list(map(quoted, by)), wanted)

    def fold(self, changes: Mapping[Change, int]) -> list[Group]:
        """Adds rows to groups and takes others away.

        Args:
            changes: How many of each row came; less than none: went.

        Returns:
            The groups of these rows that still have some.
        """
        deltas: dict[Values, dict[tuple[str, int], int]] = defaultdict(lambda: defaultdict(int))
        times: dict[int, dict[Values, int]] = {argument: defaultdict(int) for argument in self.values}
        for (keys, arguments), number in changes.items():
            delta = deltas[keys]
            delta["rows", 0] += number
            for argument in self.counts:
                if arguments[argument] is not None:
                    delta["count", argument] += number
            for argument in self.sums:
                if (value := arguments[argument]) is not None:
                    delta["sum", argument] += number * int(value)
            for argument in self.values:
                if (value := arguments[argument]) is not None:
                    times[argument][*keys, value] += number
        for argument in self.values:
            for keys, number in self._fold_values(argument, times[argument]):
                if argument in self._distinct:
                    deltas[keys]["distinct", argument] += number
        return list(self._fold_groups(deltas))

    def _fold_values(self, argument: int, changes: Mapping[Values, int]) -> Iterator[tuple[Values, int]]:
        """Changes how often values occur; gives for each that came or went its group, and 1 or -1."""
        table, places = f"values{argument}", [*self._keys, "value"]
        changes = {place: number for place, number in changes.items() if number}
        names = ", ".join(f"found.{name}" for name in [*places, "times"])
        before = {row[:-1]: int(row[-1]) for row in self._found(table, names, places, changes)}  # type: ignore[arg-type]
        after = {place: before.get(place, 0) + number for place, number in changes.items()}
        self._replace(table, places, after, ((*place, number) for place, number in after.items() if number))
        for place, number in after.items():
            if number < 0:
                raise PartialsError(f"a value of argument {argument} occurs {number} times")
            if bool(number) != (place in before):
                yield place[:-1], 1 if number else -1

    def _fold_groups(self, deltas: Mapping[Values, Mapping[tuple[str, int], int]]) -> Iterator[Group]:
        places = [("rows", 0), *self._partials]
        found = self._found("groups", "found.*", self._keys, deltas)
        width = len(self._keys)
        before = {row[:width]: [int(number) for number in row[width:]] for row in found}  # type: ignore[arg-type]
        after = {
            keys: [
                number + delta.get(place, 0)
                for place, number in zip(places, before.get(keys, [0] * len(places)), strict=True)
            ]
            for keys, delta in deltas.items()
        }
        if any(numbers[0] < 0 for numbers in after.values()):
            raise PartialsError("a group has less than no rows")
        left = {keys: numbers for keys, numbers in after.items() if numbers[0]}
        kept = ((*keys, *map(_number, numbers)) for keys, numbers in left.items())
        self._replace("groups", self._keys, after, kept)
        for keys, numbers in left.items():
            yield Group(keys, self._results(keys, dict(zip(places, numbers, strict=True))))

    def _results(
        self, keys: Values, numbers: Mapping[tuple[str, int], int]
    ) -> tuple[Value | tuple[int, int], ...]:
        results: list[Value | tuple[int, int]] = []
        for one in self._aggregates:
            if one.kind in ("count", "distinct"):
                results.append(numbers[one.kind, one.argument])
            elif one.kind in ("min", "max"):
                same = " AND ".join(f"{key} = ?" for key in self._keys)
                query = f"SELECT {one.kind}(value) FROM values{one.argument} WHERE {same}"
                results.append(self._db.execute(query, keys).fetchone()[0])
            else:
                total, count = numbers["sum", one.argument], numbers["count", one.argument]
                results.append(None if not count else total if one.kind == "sum" else (total, count))
        return tuple(results)

    def _replace(
        self, table: str, key: Sequence[str], gone: Iterable[Values], rows: Iterable[Sequence[Value]]
    ) -> None:
        same = " AND ".join(f"{name} = ?" for name in key)
        self._db.executemany(f"DELETE FROM {table} WHERE {same}", gone)
        rows = list(rows)
        if rows:
            self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def _found(self, table: str, names: str, by: Sequence[str], wanted: Iterable[Values]) -> list[Values]:
        """The rows of a table that have some values in some columns."""
        same = " AND ".join(
            f"found.{name} = json_extract(wanted.value, '$[{place}]')" for place, name in enumerate(by)
        )
        # CROSS JOIN: SQLite keeps the order, and so looks rows up by the index.
        query = f"SELECT {names} FROM json_each(?) AS wanted CROSS JOIN {table} AS found WHERE {same}"
        listed = json.dumps(list(wanted))
        if "\\u0000" in listed:
            raise PartialsError("a key has the character 0, at which SQLite's JSON ends a text")
        return self._db.execute(query, [listed]).fetchall()


def _number(number: Value) -> Value:
    """A number as it is kept: one that is larger than SQLite's integers would be rounded."""
    number = int(number or 0)
    return number if abs(number) < 1 << 62 else str(number)


def _arguments(aggregates: Sequence[Aggregate], *kinds: str) -> list[int]:
    return sorted({one.argument for one in aggregates if one.kind in kinds})
