"""From bronze rows to the events of a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import pgtypes, values
from lakehouse.config import Table
from lakehouse.retry import NeedsSomebody
from lakehouse.scd2 import Event, Key, Mark, Position, Row
from lakehouse.values import Value

COLUMNS = ("epoch", "partition", "offset", "key", "value", "headers", "op", "lsn", "tx_id", "source_ts")
"""The columns of bronze that tell an event; `source_ts` as microseconds since 1970."""

_PLACE = ("epoch", "partition", "offset")
_ROW_OPS = ("c", "u", "r", "d")
SNAPSHOT_ENDS = ("last", "last_in_data_collection")
ERASED_END = '{"op":"r","source":{"snapshot":"last"}}'
"""The value of an erased row that was the last of a snapshot: that all others had come before stays true."""

_OLD_KEY = "__debezium.oldkey"
_WITH_SCHEMA = {"schema", "payload"}


def ends_snapshot(value: str) -> str:
    """Whether a row of a snapshot, whose record's value is the SQL expression, is its last, as SQL."""
    marks = ", ".join(f"'{mark}'" for mark in SNAPSHOT_ENDS)
    return f"get_json_object({value}, '$.source.snapshot') IN ({marks})"


def good(rows: pa.Table) -> pa.Table:
    """The good events among bronze rows, in order, with `COLUMNS` as silver wants them.

    With them the bad rows of snapshots that end them: nobody else tells that all others have come.
    """
    kept = pc.and_(pc.is_valid(rows["value"]), pc.is_null(rows["error"]))
    told = pc.and_(pc.is_valid(rows["lsn"]), pc.is_valid(rows["source_ts"]))
    bad = pc.and_(pc.and_(pc.is_valid(rows["error"]), told), pc.fill_null(pc.equal(rows["op"], "r"), False))
    if pc.any(bad).as_py():
        # Not all values: of other bad rows they may be no text.
        values_of_bad = iter(rows["value"].filter(bad).to_pylist())
        ends = [is_bad and _ends_snapshot(orjson.loads(next(values_of_bad))) for is_bad in bad.to_pylist()]
        kept = pc.or_(kept, pa.array(ends, pa.bool_()))
    rows = rows.filter(kept)
    at = rows["source_ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    rows = rows.set_column(rows.schema.get_field_index("source_ts"), "source_ts", at)
    return rows if _is_in_order(rows) else rows.sort_by([(name, "ascending") for name in _PLACE])


def _is_in_order(rows: pa.Table) -> bool:
    """Whether rows of one partition are in their order, as they mostly are; to sort them costs more."""
    if any(pc.count_distinct(rows[name]).as_py() > 1 for name in _PLACE[:-1]):
        return False
    offsets = rows["offset"].combine_chunks()
    return bool(pc.all(pc.less(offsets[:-1], offsets[1:]), min_count=0).as_py())


class EventError(NeedsSomebody):
    """An event that bronze holds for good and that cannot be read; the message says where it is."""


class UnknownColumn(NeedsSomebody):
    """The source's table has columns that are not declared."""

    def __init__(self, table: str, columns: list[str]) -> None:
        self.columns = frozenset(columns)
        super().__init__(
            f"{table} has new columns in the source: {', '.join(columns)}. Run site.yml, which reads its "
            "columns again; if they are gone there again, resnapshot.yml for this table. Nothing is lost, "
            "silver goes on from here"
        )


class WiderColumn(Exception):
    """A value tells that the type of the source's column became a wider one."""

    def __init__(self, table: str, column: str, kind: str) -> None:
        self.column = column
        self.kind = kind
        """The narrowest Spark SQL type that has it."""
        super().__init__(f"{table}: its column {column} has to be {kind}")


class Events:
    """Reads the events of one table."""

    def __init__(self, table: Table, stored: Mapping[str, str] = MappingProxyType({})) -> None:
        """Prepare.

        Args:
            table: The table as the source has it.
            stored: The Spark SQL types that its values become, where they are not those of the source's
                types: silver keeps a type that is wider, and columns that the source had once. The rows have
                the values in this order, which begins with the source's columns.
        """
        self._table = table
        kinds = {column.name: pgtypes.spark_type(column.type) for column in table.columns} | dict(stored)
        self._kinds = kinds
        self._columns = [
            (name, values.reader(kind), kind in ("string", "binary")) for name, kind in kinds.items()
        ]
        self._names = kinds.keys()
        self.ignored = frozenset(table.generated)
        """Columns that silver does not have: generated ones, and those that came and went undeclared."""
        self._key = [table.column_names.index(name) for name in table.key]

    def of(self, rows: pa.Table) -> Iterator[Event]:
        """The events of good bronze rows of the table, in their order."""
        columns = [rows[name].to_pylist() for name in (*COLUMNS, "error")]
        for epoch, partition, offset, _, value, headers, op, lsn, tx_id, at, error in zip(
            *columns, strict=True
        ):
            mark = Mark(Position(epoch, partition, offset), lsn, at, op, tx_id)
            if error is not None:
                yield Event(mark, None, None, ends_snapshot=True)
                continue
            try:
                yield self._event(mark, value, headers)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise EventError(
                    f"{self._table.name}: the event at partition {partition}, offset {offset} of epoch "
                    f"{epoch} cannot be read ({values.shown(repr(error))}); bronze has it as good"
                ) from error

    def fault(self, told: dict[str, Any], key: bytes | None, headers: Any) -> str | None:
        """Why a record is no event of the table; None when it is one.

        Args:
            told: What its value tells.
            key: Its key. Whether an event came before, and what a snapshot had, is told by it alone.
            headers: Its headers; one of them names the row that left-out values are taken from.
        """
        op = told["op"]
        if op == "t":
            return None
        if op not in _ROW_OPS:
            return f"op is unknown: {values.shown(op)}"
        row = told.get("before" if op == "d" else "after")
        if row is None:
            return "the row is missing"
        if not isinstance(row, dict):
            return "the value is no JSON object of an envelope's shape"
        for place in self._key:
            name = self._columns[place][0]
            if row.get(name) is None:
                return f"the key column {name} is missing"
        left_out = False
        for place, column in enumerate(self._table.columns):
            name, read, may_be_left_out = self._columns[place]
            value = row.get(name)
            if value is None or (op == "d" and place not in self._key):
                continue  # silver takes no more than the key of what is gone
            if may_be_left_out and values.is_unavailable(value):
                if place in self._key:
                    return f"the key column {name} is missing"
                left_out = True
                continue
            try:
                read(value)
            except values.BadValue:
                if values.wider_type(self._kinds[name], value) is None:
                    return f"{name}: {values.shown(value)} is no {column.type}"
        if not self._is_key_of(key, row):
            return "the key is not the row's"
        return self._fault_of_old_key(headers) if left_out else None

    def columns_of(self, value: str) -> set[str]:
        """The columns that an event's row has."""
        return set(orjson.loads(value)["after"])

    def key(self, text: str | bytes | None) -> Key | None:
        """The key of a Kafka record's key; None where it has none."""
        return None if text is None else self._key_of(_without_schema(orjson.loads(text)))

    def _event(self, mark: Mark, value: str, headers: Any) -> Event:
        if mark.op == "t":
            return Event(mark, None, None)
        told = orjson.loads(value)
        if mark.op == "d":
            return Event(mark, self._key_of(told["before"]), None)
        if mark.op == "r" and "after" not in told:  # see ERASED_END
            return Event(mark, None, None, ends_snapshot=True)
        row, unavailable, absent = self._row(told["after"])
        key = tuple(row[place] for place in self._key)
        if None in key:
            raise values.BadValue(None)
        old_key = self._old_key(headers) if unavailable else None
        ends = mark.op == "r" and _ends_snapshot(told)
        return Event(mark, key, row, unavailable, old_key, absent, ends)

    def _is_key_of(self, key: bytes | None, row: dict[str, Any]) -> bool:
        """Whether a record's key is that of a good row, as both are read."""
        if key is None:
            return False
        try:
            told = _without_schema(orjson.loads(key))
        except orjson.JSONDecodeError:
            return False
        if not isinstance(told, dict):
            return False
        for place in self._key:
            name, read, _ = self._columns[place]
            value, its = told.get(name), row[name]
            kind = type(value)
            if (kind is int or kind is str) and type(its) is kind and value == its:
                continue  # the usual way
            if value is None:
                return False
            try:
                if read(value) != read(its):
                    return False
            except values.BadValue:
                if kind is not type(its) or value != its:
                    return False  # otherwise it is one of a wider type
        return True

    def _fault_of_old_key(self, headers: Any) -> str | None:
        try:
            self._old_key(headers)
        except WiderColumn:
            return None
        except (ValueError, KeyError, TypeError):
            return "the old key is no key of the table"
        return None

    def _key_of(self, told: dict[str, Any]) -> Key:
        key = []
        for place in self._key:
            name, read, _ = self._columns[place]
            value = told[name]
            if value is None:
                raise values.BadValue(value)
            try:
                key.append(read(value))
            except values.BadValue:
                self._refuse_wider(name, value)
                raise
        return tuple(key)

    def _refuse_wider(self, name: str, value: Any) -> None:
        if kind := values.wider_type(self._kinds[name], value):
            raise WiderColumn(self._table.name, name, kind) from None

    def _row(self, told: dict[str, Any]) -> tuple[Row, tuple[int, ...], tuple[int, ...]]:
        row: list[Value] = []
        unavailable: tuple[int, ...] = ()
        absent: tuple[int, ...] = ()
        if told.keys() != self._names:
            if new := told.keys() - self._names - self.ignored:
                raise UnknownColumn(self._table.name, sorted(new))
            absent = tuple(place for place, name in enumerate(self._names) if name not in told)
        for name, read, may_be_left_out in self._columns:
            value = told.get(name)
            if value is None:
                row.append(None)
            elif may_be_left_out and values.is_unavailable(value):
                unavailable += (len(row),)
                row.append(None)
            else:
                try:
                    row.append(read(value))
                except values.BadValue:
                    self._refuse_wider(name, value)
                    raise
        return tuple(row), unavailable, absent

    def _old_key(self, headers: Any) -> Key | None:
        for header in headers or ():
            if header["key"] == _OLD_KEY:
                return self._key_of(_without_schema(orjson.loads(header["value"])))
        return None


def _ends_snapshot(told: dict[str, Any]) -> bool:
    return told["source"].get("snapshot") in SNAPSHOT_ENDS


def _without_schema(key: Any) -> Any:
    """A key without the schema that a converter may send with it."""
    if isinstance(key, dict) and len(key) == 2 and key.keys() == _WITH_SCHEMA:
        payload = key["payload"]
        return payload if isinstance(payload, dict) else key  # these may be its own columns
    return key
