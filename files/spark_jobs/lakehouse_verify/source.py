"""The source: its tables, and consistent cuts through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extensions

from lakehouse_verify.finding import VerifyError
from lakehouse_verify.rows import MASK_SALT, Column, PostgreSQL, Reader, Table

LOCK_TIMEOUT = 30  # seconds that a table may be locked by its owners, as DDL does

_Run = Callable[[str, Sequence[Any] | None], list[tuple[Any, ...]]]

# An array, a range or an interval is one text in PostgreSQL and another in JSON.
_COLUMNS = """
select attname, format_type(atttypid, atttypmod), typtype = 'e' or typname in (
    'bool', 'bpchar', 'bytea', 'citext', 'date', 'float4', 'float8', 'int2', 'int4', 'int8', 'json', 'jsonb',
    'name', 'numeric', 'oid', 'text', 'timestamp', 'timestamptz', 'uuid', 'varchar', 'xml')
from pg_attribute join pg_type on pg_type.oid = atttypid
where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum
"""
_KEY = """
select attname
from pg_index join pg_attribute on attrelid = indrelid and attnum = any((indkey::int2[])[0:indnkeyatts - 1])
where indrelid = %s::regclass and indisprimary
order by array_position(indkey::int2[], attnum)
"""


class Cut:
    """One snapshot of the source, and a position that its last commit is not after."""

    def __init__(self, run: _Run, slot: str) -> None:
        """Begin with the first query, which takes the snapshot; the position is read after it."""
        self._run = run
        self._slot = slot
        run("select 1", None)
        self.lsn = str(run("select pg_current_wal_insert_lsn()::text", None)[0][0])

    def reader(self, table: Table, types: Mapping[str, str]) -> Reader:
        """Read some columns of a table as it is in this snapshot.

        Args:
            table: The table.
            types: The columns, with their types in the lakehouse.
        """
        dialect = PostgreSQL()
        relation = ".".join(dialect.name(part) for part in table.name.split(".", 1))
        columns = tuple(
            replace(column, becomes=types[column.name]) for column in table.columns if column.name in types
        )
        of_key = {column.name: column for column in columns}
        key = tuple(of_key[name] for name in table.key)
        return Reader(lambda query: self._run(query, None), dialect, relation, columns, key)

    def is_delivered(self) -> bool:
        """Whether everything up to the position has reached Kafka."""
        query = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s"
        found = self._run(query, [self.lsn, self._slot])
        if not found:
            raise VerifyError(
                f"the source has no replication slot {self._slot!r}; Debezium makes it when it starts"
            )
        return bool(found[0][0])


class Source:
    """A read-only connection to the source database."""

    def __init__(self, settings: Mapping[str, Any], slot: str, mask_salt: str) -> None:
        """Connect.

        Args:
            settings: What libpq needs: host, port, dbname, user, password, sslmode, …
            slot: The replication slot that feeds the lakehouse.
            mask_salt: The secret that the hashes of masked columns begin with, letters and digits.
                It goes along with the login: in a query it could end up in the source's log.
        """
        self._slot = slot
        self._connection = psycopg2.connect(
            **settings,
            application_name="lakehouse-verify",
            connect_timeout=10,
            options=f"-c {MASK_SALT}={mask_salt} -c lock_timeout={LOCK_TIMEOUT}s",
        )
        self._connection.set_session(readonly=True, isolation_level="REPEATABLE READ")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def table(self, name: str, exclude: Sequence[str], mask: Sequence[str]) -> Table:
        """What the catalog says about a table.

        Args:
            name: The table, as schema.table.
            exclude: The columns that never leave the source; they are left out.
            mask: The columns that leave it as a hash.
        """
        with self._connection:
            key = tuple(row[0] for row in self._run(_KEY, [name]))
            columns = tuple(
                Column(column, kind, masked=column in mask, exact=exact)
                for column, kind, exact in self._run(_COLUMNS, [name])
                if column not in exclude
            )
        if not key:
            raise VerifyError(f"{name} has no primary key; a table without one cannot be captured")
        return Table(name, columns, key)

    @contextmanager
    def cut(self) -> Iterator[Cut]:
        """Hold one snapshot."""
        with self._connection:
            yield Cut(self._run, self._slot)

    def _run(self, query: str, parameters: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
