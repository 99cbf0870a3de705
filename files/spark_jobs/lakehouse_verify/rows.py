"""Read a table's rows in a form that PostgreSQL and Spark give alike, so that they can be compared exactly.

Each value becomes a text that is the same on both sides (a timestamp: microseconds since 1970; bytes:
hexadecimal). Whole tables are compared by a count and a sum of hashes per bucket of keys, computed where the
rows are. Only the keys of buckets that differ travel, and only the rows of keys that differ travel in full.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

RunSql = Callable[[str], list[tuple[Any, ...]]]

MASK_SALT = "lakehouse.mask_salt"  # the setting of a session with the source that holds the salt of masks
BUCKETS = 1024
KEYS_A_QUERY = 500

_SENT = {"double precision": ("float8send", 64, "bigint"), "real": ("float4send", 32, "int")}
_NAN = {"double precision": 0x7FF8_0000_0000_0000, "real": 0x7FC0_0000}  # as Java writes it
_BITS = {
    "double": "'java.lang.Double', 'doubleToLongBits'",
    "float": "'java.lang.Float', 'floatToIntBits'",
}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        type: Its type, as the side that holds it names it.
        masked: Whether it leaves the source as a hash.
        exact: Whether both sides can give its values alike; else it is only looked at whether there is one.
        becomes: Of a column of the source, its type in the lakehouse, which stays the wider one.
    """

    name: str
    type: str
    masked: bool = False
    exact: bool = True
    becomes: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the source: what is compared, and by which key."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def short_name(self) -> str:
        """The name of the table in the silver database."""
        schema, _, table = self.name.partition(".")
        return table if schema == "public" else f"{schema}_{table}"


class Dialect(Protocol):
    """How a SQL engine says what is needed here."""

    def name(self, identifier: str) -> str:
        """An identifier, quoted."""

    def literal(self, text: str) -> str:
        """A text literal."""

    def text(self, column: Column) -> str:
        """An expression: the column's value as the text that both sides agree on, NULL for NULL."""

    def number(self, text: str) -> str:
        """An expression: 60 bits of the MD5 of a text expression, as an exact number that can be summed."""


def _wider(kind: str, becomes: str) -> str | None:
    """The PostgreSQL type that has a column's values as the lakehouse does, if its own has them otherwise."""
    if becomes == "double" and kind in ("smallint", "integer", "real"):
        return "double precision"
    if becomes == "timestamp_ntz" and kind == "date":
        return "timestamp without time zone"
    if there := re.fullmatch(r"decimal\((\d+),(\d+)\)", becomes):
        here = re.fullmatch(r"numeric\(\d+,(\d+)\)", kind)
        scale = int(here[1]) if here else 0 if kind in ("smallint", "integer", "bigint") else None
        if scale is not None and scale < int(there[2]):
            return f"numeric({there[1]},{there[2]})"
    return None


class PostgreSQL:
    """The source's dialect. `Column.type` is what format_type() gives."""

    def name(self, identifier: str) -> str:
        """See Dialect."""
        return '"' + identifier.replace('"', '""') + '"'

    def literal(self, text: str) -> str:
        """See Dialect."""
        return "'" + text.replace("'", "''") + "'"

    def text(self, column: Column) -> str:
        """See Dialect."""
        value, kind = self.name(column.name), column.type
        if not column.exact:
            return f"case when {value} is not null then 'a value' end"
        if column.masked:
            return self._masked(column)
        if wider := _wider(kind, column.becomes):
            value, kind = f"{value}::{wider}", wider
        if kind.startswith("numeric"):
            others = "when 'Infinity' then 'POSITIVE_INFINITY' when '-Infinity' then 'NEGATIVE_INFINITY'"
            return f"case {value}::text when 'NaN' then 'NAN' {others} else {value}::text end"
        if kind.startswith("timestamp"):
            # Microseconds of the last years that PostgreSQL has are no bigint.
            moment = f"(extract(epoch from {value}) * 1000000)::numeric(30, 0)::text"
            return f"case when isfinite({value}) then {moment} else {value}::text end"
        if kind == "date":
            return (
                f"case when isfinite({value}) then ({value} - date '1970-01-01')::text else {value}::text end"
            )
        if kind in _NAN:  # the sign of which depends on how it was computed, and is lost on the way
            send, bits, whole = _SENT[kind]
            number = f"('x' || encode({send}({value}), 'hex'))::bit({bits})::{whole}::text"
            return f"case when {value} = 'NaN' then '{_NAN[kind]}' else {number} end"
        if kind == "bytea":
            return f"encode({value}, 'hex')"
        if padded := re.fullmatch(r"character\((\d+)\)", kind):
            return (
                f"rpad({value}::text, {padded[1]})"  # the cast to text strips the padding that the value has
            )
        return f"{value}::text"

    def _masked(self, column: Column) -> str:
        """The hash that Debezium puts in place of a text: of salt and value, cut to the column's length."""
        clear = self.text(replace(column, masked=False))
        digits = f"encode(sha256(convert_to(current_setting('{MASK_SALT}') || {clear}, 'UTF8')), 'hex')"
        length = re.search(r"\((\d+)\)$", column.type)
        return f"left({digits}, {length[1]})" if length else digits

    def number(self, text: str) -> str:
        """See Dialect."""
        return f"('x' || substr(md5(convert_to({text}, 'UTF8')), 1, 15))::bit(60)::bigint"


class Spark:
    """The lakehouse's dialect. `Column.type` is what DESCRIBE gives. The session's time zone must be UTC."""

    def name(self, identifier: str) -> str:
        """See Dialect."""
        return "`" + identifier.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        """See Dialect."""
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def text(self, column: Column) -> str:
        """See Dialect."""
        value = self.name(column.name)
        if not column.exact:
            return f"case when {value} is not null then 'a value' end"
        if column.type in ("timestamp", "timestamp_ntz"):
            return f"cast(unix_micros(cast({value} as timestamp)) as string)"
        if column.type == "date":
            return f"cast(unix_date({value}) as string)"
        if column.type in _BITS:
            bits = f"java_method({_BITS[column.type]}, {value})"
            return f"case when {value} is not null then {bits} end"  # Java's methods take no null
        if column.type == "binary":
            return f"lower(hex({value}))"
        return f"cast({value} as string)"

    def number(self, text: str) -> str:
        """See Dialect."""
        return f"cast(conv(substr(md5({text}), 1, 15), 16, 10) as decimal(20, 0))"


K = TypeVar("K")
Rows = dict[K, list[tuple[str | None, ...]]]
Digests = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Reader:
    """Reads one relation through one SQL engine.

    Attributes:
        run_sql: Runs a query.
        dialect: The engine's dialect.
        relation: What to read, as SQL (a table name, or a query in parentheses with an alias).
        columns: The columns that are compared, in an order that is the same on both sides.
        key: Those of them that identify a row.
    """

    run_sql: RunSql
    dialect: Dialect
    relation: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...]

    def _text(self, columns: Iterable[Column]) -> str:
        """Several values as one text: each with its length before it, so that no two lists give the same."""
        parts = (self.dialect.text(column) for column in columns)
        return " || ".join(f"coalesce(length({part}) || ':' || {part}, '-')" for part in parts)

    @property
    def _bucket(self) -> str:
        return f"{self.dialect.number(self._text(self.key))} % {BUCKETS}"

    @property
    def _hash(self) -> str:
        return self.dialect.number(self._text(self.columns))

    def digests(self) -> Digests:
        """Count the rows of each bucket of keys and sum their hashes."""
        hashed = f"select {self._bucket} as bucket, {self._hash} as hash from {self.relation}"
        query = f"select bucket, count(*), sum(hash) from ({hashed}) as hashed group by bucket"
        return {int(bucket): (int(count), int(total)) for bucket, count, total in self.run_sql(query)}

    def hashes(self, buckets: Sequence[int]) -> dict[str, list[int]]:
        """The hashes of the rows of some buckets, by key."""
        found: dict[str, list[int]] = defaultdict(list)
        inside = f"{self._bucket} in ({', '.join(map(str, buckets))})"
        query = f"select {self._text(self.key)}, {self._hash} from {self.relation} where {inside}"
        for key, value in self.run_sql(query):
            found[key].append(int(value))
        return {key: sorted(values) for key, values in found.items()}

    def rows(self, keys: Iterable[str]) -> Rows[str]:
        """The rows of some keys in full; a key without a row is absent."""
        wanted = sorted(keys)
        found: Rows[str] = defaultdict(list)
        text = self._text(self.key)
        values = ", ".join(self.dialect.text(column) for column in self.columns)
        for start in range(0, len(wanted), KEYS_A_QUERY):
            some = ", ".join(self.dialect.literal(key) for key in wanted[start : start + KEYS_A_QUERY])
            query = f"select {text}, {values} from {self.relation} where {text} in ({some})"
            for key, *row in self.run_sql(query):
                found[key].append(tuple(row))
        return {key: sorted(rows, key=repr) for key, rows in found.items()}


def differing_keys(left: Reader, right: Reader, ours: Digests, theirs: Digests) -> set[str]:
    """The keys whose rows are not the same on both sides, looked for in the buckets whose digests differ."""
    buckets = sorted(
        bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)
    )
    if not buckets:
        return set()
    some, others = left.hashes(buckets), right.hashes(buckets)
    return {key for key in some.keys() | others.keys() if some.get(key) != others.get(key)}


def column_types(run_sql: RunSql, relation: str) -> dict[str, str]:
    """The columns of a table or view in the lakehouse, in order, and their types."""
    types: dict[str, str] = {}
    for name, kind, *_ in run_sql(f"describe {relation}"):
        if not name or name.startswith("# "):  # what follows tells of partitions; no column has a space
            break
        types[name] = kind
    return types


def lake_reader(
    run_sql: RunSql,
    relation: str,
    types: Mapping[str, str],
    names: Iterable[str],
    key: Iterable[str],
    inexact: Collection[str] = (),
) -> Reader:
    """Read some columns of a relation in the lakehouse."""
    columns = tuple(Column(name, types[name], exact=name not in inexact) for name in names)
    return Reader(run_sql, Spark(), relation, columns, tuple(Column(name, types[name]) for name in key))
