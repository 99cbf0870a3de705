"""verify reads the source's values in the form that the lakehouse has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import psycopg2.errors
import pytest
from lakehouse_verify import source as verify_source
from lakehouse_verify.source import Source

from tests.local_postgresql import execute


@pytest.fixture
def source(postgresql: str) -> Iterator[Source]:
    """verify's connection."""
    with closing(Source({"host": postgresql, "user": "postgres"}, "slot", "salt")) as source:
        yield source


# Type, value, the lakehouse's type, and the text that its value gives (see rows.Spark).
VALUES = [
    ("bigint", "5", "bigint", "5"),
    ("integer", "5", "double", "4617315517961601024"),
    ("integer", "5", "decimal(12,2)", "5.00"),
    ("numeric(5,1)", "2.5", "decimal(5,1)", "2.5"),
    ("numeric(5,1)", "2.5", "decimal(10,3)", "2.500"),
    ("numeric(5,1)", "NaN", "decimal(10,3)", "NAN"),
    ("numeric(9,3)", "2.125", "decimal(5,1)", "2.125"),  # silver is to become wider
    ("real", "0.1", "float", "1036831949"),
    ("real", "0.1", "double", "4591870180174331904"),
    ("real", "-NaN", "float", "2143289344"),
    ("double precision", "NaN", "double", "9221120237041090560"),
    ("double precision", "Infinity", "double", "9218868437227405312"),
    ("date", "1970-01-02", "date", "1"),
    ("date", "1970-01-02", "timestamp_ntz", "86400000000"),
    ("date", "infinity", "timestamp_ntz", "infinity"),
    ("timestamp", "1970-01-01 00:00:00.000001", "timestamp_ntz", "1"),
    ("timestamp", "4713-01-01 00:00:00 BC", "timestamp_ntz", "-210863520000000000"),
    ("timestamp", "294276-12-31 00:00:00", "timestamp_ntz", "9224317929600000000"),
    ("timestamptz", "1970-01-01 05:30:00+05:30", "timestamp", "0"),
    ("character(4)", "ab", "string", "ab  "),
]


@pytest.mark.parametrize(("kind", "value", "becomes", "text"), VALUES)
def test_a_value_is_that_of_the_lakehouse(
    postgresql: str, source: Source, kind: str, value: str, becomes: str, text: str
) -> None:
    written = f"-('NaN'::{kind})" if value == "-NaN" else f"'{value}'"
    execute(
        postgresql,
        f"drop table if exists things; create table things (id int primary key, value {kind}); "
        f"insert into things values (1, {written}), (2, null)",
    )
    table = source.table("public.things", (), ())
    with source.cut() as cut:
        reader = cut.reader(table, {"id": "int", "value": becomes})
        assert reader.rows(reader.hashes(range(1024))) == {"1:1": [("1", text)], "1:2": [("2", None)]}


def test_a_table_that_somebody_has_locked_is_not_waited_for_all_day(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_source, "LOCK_TIMEOUT", 1)
    execute(postgresql, "drop table if exists things; create table things (id int primary key)")
    with (
        closing(psycopg2.connect(host=postgresql, user="postgres")) as other,
        closing(Source({"host": postgresql, "user": "postgres"}, "slot", "salt")) as source,
    ):
        table = source.table("public.things", (), ())
        other.cursor().execute("lock table things")
        with source.cut() as cut, pytest.raises(psycopg2.errors.LockNotAvailable):
            cut.reader(table, {"id": "int"}).digests()
