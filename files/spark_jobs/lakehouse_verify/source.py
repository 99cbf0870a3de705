"""The source: its tables, and consistent cuts through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions

from lakehouse_verify.rows import Column, PostgreSQL, Reader, RunSql, Table

_COLUMNS = """
select attname, format_type(atttypid, atttypmod)
from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum
"""
_KEY = """
select attname
from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
where indrelid = %s::regclass and indisprimary
order by array_position(indkey, attnum)
"""


@dataclass(frozen=True)
class Cut:
    """One snapshot of the source, and a position that its last commit is not after."""

    lsn: str
    run_sql: RunSql

    def reader(self, table: Table) -> Reader:
        """Read a table as it is in this snapshot."""
        dialect = PostgreSQL()
        relation = ".".join(dialect.name(part) for part in table.name.split(".", 1))
        return Reader(self.run_sql, dialect, relation, table.columns, table.key_columns)


class Source:
    """A read-only connection to the source database."""

    def __init__(self, settings: Mapping[str, Any], slot: str) -> None:
        """Connect.

        Args:
            settings: What libpq needs: host, port, dbname, user, password, sslmode, …
            slot: The replication slot that feeds the lakehouse.
        """
        self._connection = psycopg2.connect(**settings, application_name="lakehouse-verify", connect_timeout=10)
        self._connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
        self._slot = slot

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, query: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def table(self, name: str) -> Table:
        """What the catalog says about a table."""
        with self._connection:
            columns = tuple(Column(*row) for row in self._run(_COLUMNS, [name]))
            key = tuple(row[0] for row in self._run(_KEY, [name]))
        return Table(name, columns, key)

    @contextmanager
    def cut(self) -> Iterator[Cut]:
        """Hold one snapshot. Its LSN is read after it, so every commit that it shows lies before the LSN."""
        with self._connection:
            self._run("select 1")
            ((lsn,),) = self._run("select pg_current_wal_insert_lsn()::text")
            yield Cut(lsn, self._run)

    def slot_has_passed(self, lsn: str) -> bool:
        """Whether everything up to an LSN has been delivered to Kafka."""
        query = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s"
        with self._connection:
            found = self._run(query, [lsn, self._slot])
        if not found:
            raise LookupError(f"the source has no replication slot {self._slot!r}; Debezium makes it when it starts")
        return bool(found[0][0])
