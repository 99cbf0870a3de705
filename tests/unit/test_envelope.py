"""From Kafka records to rows of bronze."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from lakehouse.config import Column, Table
from lakehouse.envelope import RECORDS, Envelopes
from lakehouse.events import EventError, Events, WiderColumn, good

ORDERS = Table("public.orders", ("id",), (Column("id", "bigint", False), Column("note", "text")), ("note",))
ITEMS = Table("public.items", ("sku",), (Column("sku", "text", False), Column("price", "numeric(9,2)")), ())
TABLES = {"cdc.public.orders": ORDERS, "cdc.public.items": ITEMS}
MICROSECOND = timedelta(microseconds=1)
SOURCE = {"lsn": 7, "txId": 3, "ts_us": 1_700_000_000_000_000}
Headers = Sequence[tuple[str, bytes | None]]
OF_THE_ROW = object()


def bronze(
    values: Sequence[bytes | None], topic: str = "cdc.public.items", key: bytes = b'{"sku":"A"}'
) -> pa.Table:
    """The rows of bronze of values, by ascending offset."""
    records: list[dict[str, Any]] = [
        {
            "topic": topic,
            "partition": 0,
            "offset": offset,
            "timestamp": 0,
            "headers": [],
            "key": key,
            "value": value,
        }
        for offset, value in enumerate(values)
    ]
    kafka = pa.Table.from_pylist(records, RECORDS)
    return Envelopes(TABLES).bronze_rows(kafka, dict.fromkeys(TABLES, "0001/7/1/id"), 0)


def row_of(value: bytes, table: Table = ITEMS, key: Any = OF_THE_ROW, headers: Headers = ()) -> pa.Table:
    """The row of bronze of one record; key is bytes, None, or what becomes JSON."""
    if key is OF_THE_ROW:
        told = orjson.loads(value)
        row = told["before" if told["op"] == "d" else "after"]
        key = {name: row.get(name) for name in table.key}
    key = key if key is None or isinstance(key, bytes) else json.dumps(key).encode()
    sent = [{"key": name, "value": header} for name, header in headers]
    record = {"topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "headers": sent}
    kafka = pa.Table.from_pylist([record | {"key": key, "value": value}], RECORDS)
    return Envelopes({"t": table}).bronze_rows(kafka, {"t": "0001/7/1/id"}, 0)


def error_of(value: bytes, table: Table = ITEMS, key: Any = OF_THE_ROW, headers: Headers = ()) -> str | None:
    """Why a record is no event of a table."""
    (error,) = row_of(value, table, key, headers)["error"].to_pylist()
    return None if error is None else str(error)


def event(row: Any, **changed: Any) -> bytes:
    told = {"op": "c", "source": SOURCE, "before": None, "after": row} | changed
    return json.dumps(told).encode()


ROW = {"sku": "A", "price": "1.50"}


def test_good_events_and_tombstones_have_no_error() -> None:
    row = bronze([event(ROW), None, event(None, op="d", before=ROW), event(None, op="t")])
    assert row["error"].to_pylist() == [None] * 4
    assert row["op"].to_pylist() == ["c", None, "d", "t"]
    assert row["lsn"].to_pylist() == [7, None, 7, 7]


def test_a_time_that_no_timestamp_shows_is_bad() -> None:
    """Rows are read with Python's datetime later, which has the years 1 to 9999."""
    ends = [datetime.min, datetime.max]
    first, last = ((end.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) for end in ends)
    times = [first // MICROSECOND, last // MICROSECOND]
    values = [
        event(ROW, source=SOURCE | {"ts_us": at}) for at in (*times, times[0] - 1, times[1] + 1, 1 << 62)
    ]
    rows = bronze(values)
    bad = (-62135596800000001, 253402300800000000, 1 << 62)
    assert rows["error"].to_pylist() == [None, None, *(f"source.ts_us: {at} is no time" for at in bad)]
    assert [at and at.replace(tzinfo=None) for at in rows["source_ts"].to_pylist()] == [
        *ends,
        None,
        None,
        None,
    ]


def test_each_record_is_judged_by_its_own_table() -> None:
    value = event({"id": 1, "note": "first"})
    assert bronze([value], topic="cdc.public.orders", key=b'{"id":1}')["error"].to_pylist() == [None]
    assert bronze([value])["error"].to_pylist() == ["the key column sku is missing"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"no JSON", "the value is no JSON object of an envelope's shape"),
        (b"\xff\xfe", "the value is no JSON object of an envelope's shape"),
        (b"[1]", "the value is no JSON object of an envelope's shape"),
        (b"null", "the value is no JSON object of an envelope's shape"),
        (event("a row"), "the value is no JSON object of an envelope's shape"),
        (event(ROW, source=3), "the value is no JSON object of an envelope's shape"),
        (event(ROW, op=None), "op is missing"),
        (event(ROW, op="x"), "op is unknown: x"),
        (event(ROW, source=None), "source.lsn is missing"),
        (event(ROW, source=SOURCE | {"lsn": "seven"}), "source.lsn: seven is no bigint"),
        (event(ROW, source={"lsn": 7}), "source.ts_us is missing"),
        (event(None), "the row is missing"),
        (event({"price": "1.50"}), "the key column sku is missing"),
        (event(ROW | {"price": "cheap"}), "price: cheap is no numeric(9,2)"),
        (event(ROW | {"price": "NaN"}), "price: NaN is no numeric(9,2)"),
        (event(None, op="d", before={"price": "1.50"}), "the key column sku is missing"),
        (event(ROW | {"price": {"a": 1}}), 'price: {"a":1} is no numeric(9,2)'),
    ],
)
def test_a_bad_record_says_why_and_is_kept_as_it_came(value: bytes, error: str) -> None:
    rows = bronze([event(ROW), value, event(ROW)])
    assert rows["error"].to_pylist() == [None, error, None]
    assert rows["value"].cast(pa.binary()).to_pylist() == [event(ROW), value, event(ROW)]
    assert good(rows)["offset"].to_pylist() == [0, 2]
    assert len(list(Events(ITEMS).of(good(rows)))) == 2


def test_a_record_that_is_no_text_hides_no_others_beside_a_bad_row_of_a_snapshot() -> None:
    last = event(ROW | {"price": "NaN"}, op="r", source=SOURCE | {"snapshot": "last"})
    rows = bronze([b"\xff\xfe", last, event(ROW)])
    assert good(rows)["offset"].to_pylist() == [1, 2]


def test_of_a_delete_the_key_alone_has_to_be_good() -> None:
    rows = bronze([event(None, op="d", before=ROW | {"price": "NaN"})])
    assert rows["error"].to_pylist() == [None]
    (deleted,) = Events(ITEMS).of(good(rows))
    assert (deleted.key, deleted.row) == (("A",), None)


@pytest.mark.parametrize(
    ("price", "kind"), [("1.505", "decimal(10,3)"), ("12345678.00", "decimal(10,2)"), ("0.5000", None)]
)
def test_a_value_that_a_wider_type_has_is_good_and_tells_the_type(price: str, kind: str | None) -> None:
    rows = bronze([event(ROW | {"price": price})])
    assert rows["error"].to_pylist() == [None]
    if kind is not None:
        with pytest.raises(WiderColumn, match="its column price has to be") as told:
            list(Events(ITEMS).of(good(rows)))
        assert told.value.kind == kind
    (read,) = Events(ITEMS, {"price": kind or "decimal(9,2)"}).of(good(rows))
    assert read.row is not None
    assert Decimal(str(read.row[1])) == Decimal(price)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "nan", "1_0.5", "1e400", "\u0661", " 1"])
@pytest.mark.parametrize("pg_type", ["smallint", "integer"])
def test_of_an_integer_no_other_number_is_a_wider_one(pg_type: str, number: str) -> None:
    table = Table("public.items", ("sku",), (Column("sku", "text", False), Column("amount", pg_type)), ())
    assert error_of(event({"sku": "A", "amount": number}), table) == f"amount: {number} is no {pg_type}"
    assert error_of(event({"sku": "A", "amount": "3000000000"}), table) is None
    assert error_of(event({"sku": "A", "amount": "1.5"}), table) is None


LONG = "9" * 5000  # of more digits than Python makes an integer of
DEEP = b"[" * 1010 + b"]" * 1010  # deeper than Python's stack, and not too deep to be read


@pytest.mark.parametrize("pg_type", ["integer", "bigint", "date", "timestamp with time zone", "numeric(9,2)"])
@pytest.mark.parametrize("value", [LONG, f"{LONG}-01-01", f"{LONG}-01-01T00:00:00Z", {LONG: [LONG]}])
def test_a_value_that_is_far_too_long_is_bad_and_shown_by_its_beginning(pg_type: str, value: Any) -> None:
    table = Table("public.items", ("sku",), (Column("sku", "text", False), Column("price", pg_type)), ())
    assert (error := error_of(event({"sku": "A", "price": value}), table))
    assert re.fullmatch(rf"price: .{{90,110}}… is no {re.escape(pg_type)}", error)


def test_a_key_that_is_far_too_long_is_bad() -> None:
    error = error_of(event({"id": LONG, "note": "first"}), ORDERS)
    assert error == f"id: {LONG[:100]}… is no bigint"


@pytest.mark.parametrize("depth", [255, 900, 990, 1010])
def test_a_text_that_is_nested_too_deeply_is_bad_however_full_the_stack_is(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    value = event({"id": 1, "note": "NOTE"}).replace(b'"NOTE"', nested)
    assert error_of(value, ORDERS) == "note: what is nested too deeply is no text"
    assert error_of(value.replace(nested, b"[" * 200 + b"]" * 200), ORDERS) is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (event(ROW, op=LONG), f"op is unknown: {LONG[:100]}…"),
        (event(ROW, source=SOURCE | {"lsn": LONG}), f"source.lsn: {LONG[:100]}… is no bigint"),
        (event(ROW, op="OP").replace(b'"OP"', DEEP), "op is unknown: what is nested too deeply"),
        (
            event(ROW, source=SOURCE | {"lsn": "LSN"}).replace(b'"LSN"', DEEP),
            "source.lsn: what is nested too deeply is no bigint",
        ),
    ],
)
def test_no_reason_grows_with_what_was_sent(value: bytes, error: str) -> None:
    assert error_of(value) == error


def test_whatever_goes_wrong_with_a_record_is_its_own_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Events.fault

    def fault(self: Events, told: dict[str, Any], *more: Any) -> str | None:
        if told["after"]["price"] == "2.00":
            raise RecursionError("all of it " * 1000)
        return judge(self, told, *more)

    monkeypatch.setattr(Events, "fault", fault)
    rows = bronze([event(ROW), event(ROW | {"price": "2.00"}), event(ROW)])
    assert rows["error"].to_pylist() == [None, "it cannot be judged: RecursionError", None]


def test_what_cannot_be_read_although_it_is_good_is_told_shortly() -> None:
    rows = bronze([event(ROW)])
    value = event(ROW | {"price": LONG}).decode()
    rows = good(rows.set_column(rows.schema.get_field_index("value"), "value", pa.array([value])))
    with pytest.raises(EventError, match="partition 0, offset 0 of epoch 0001/7/1/id cannot be read") as told:
        list(Events(ITEMS).of(rows))
    assert len(str(told.value)) < 300


def test_a_deleted_key_that_a_wider_type_has_tells_the_type() -> None:
    table = Table("public.items", ("sku",), (Column("sku", "integer", False),), ())
    rows = bronze([event(None, op="d", before={"sku": 5_000_000_000})], key=b'{"sku":5000000000}')
    with pytest.raises(WiderColumn, match="its column sku has to be bigint"):
        list(Events(table).of(good(rows)))


def test_a_key_that_is_no_text_is_bad() -> None:
    assert bronze([event(ROW)], key=b"\xff")["error"].to_pylist() == ["the key is no text"]


@pytest.mark.parametrize("op", ["c", "u", "r", "d"])
@pytest.mark.parametrize(
    "key",
    [
        *(None, b"", b"null", b"{", b"[1]", b'"A"', b"1", {}, {"sku": "B"}, {"sku": None}, {"sku": ["A"]}),
        *({"id": "A"}, {"payload": {"sku": "A"}}, {"schema": {}, "payload": None}),
        {"schema": {}, "payload": {"sku": "A"}, "more": 1},
    ],
)
def test_a_record_whose_key_is_another_rows_is_bad(op: str, key: Any) -> None:
    """Its key alone tells of a record what was delivered before, and what a snapshot had."""
    value = event(None, op=op, before=ROW) if op == "d" else event(ROW, op=op)
    assert error_of(value, key=key) == "the key is not the row's"
    assert error_of(value) is None


def test_the_key_of_a_truncate_and_of_a_tombstone_means_nothing() -> None:
    assert bronze([event(None, op="t"), None], key=b"1")["error"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("pg_type", "row", "key"),
    [
        ("text", "A", {"sku": "A"}),
        ("text", "A", {"sku": "A", "more": 1}),
        ("text", "A", {"schema": {"type": "struct"}, "payload": {"sku": "A"}}),
        ("bigint", 1, {"sku": "1"}),
        ("integer", 5_000_000_000, {"sku": 5_000_000_000}),
        ("real", 1e39, {"sku": 1e39}),
        ("numeric(4,2)", "1.50", {"sku": 1.5}),
        ("numeric(4,2)", "1.505", {"sku": "1.505"}),
        ("boolean", True, {"sku": "true"}),
        ("integer[]", [1, 2], {"sku": [1, 2]}),
    ],
)
def test_a_key_is_the_rows_when_it_reads_the_same(pg_type: str, row: Any, key: Any) -> None:
    table = Table("public.items", ("sku",), (Column("sku", pg_type, False),), ())
    assert error_of(event({"sku": row}), table, key) is None


@pytest.mark.parametrize(
    ("pg_type", "row", "key"),
    [
        ("bigint", 1, True),
        ("bigint", 1, 1.0),
        ("boolean", True, 1),
        ("double precision", 0.0, -0.0),
        ("integer", 5_000_000_000, 5_000_000_001),
        ("integer[]", [1], [True]),
        ("bytea", "AAAA", 1),
    ],
)
def test_a_key_that_reads_otherwise_than_the_rows_is_another(pg_type: str, row: Any, key: Any) -> None:
    table = Table("public.items", ("sku",), (Column("sku", pg_type, False),), ())
    assert error_of(event({"sku": row}), table, {"sku": key}) == "the key is not the row's"


@pytest.mark.parametrize("names", [("payload",), ("schema", "payload")])
def test_a_key_column_may_have_the_name_of_what_stands_around_a_key(names: tuple[str, ...]) -> None:
    table = Table("public.items", names, tuple(Column(name, "text", False) for name in names), ())
    row = dict.fromkeys(names, "A")
    assert error_of(event(row), table) is None
    assert error_of(event(row), table, {"schema": {}, "payload": row}) is None
    assert Events(table).key(json.dumps(row)) == ("A",) * len(names)
    assert Events(table).key(json.dumps({"schema": {}, "payload": row})) == ("A",) * len(names)


def test_a_key_that_lacks_a_value_is_none() -> None:
    with pytest.raises(ValueError, match="None"):
        Events(ITEMS).key('{"sku":null}')


def test_a_row_that_does_not_tell_its_key_is_bad() -> None:
    assert error_of(event(ROW | {"sku": LEFT_OUT})) == "the key column sku is missing"


LEFT_OUT = "__debezium_unavailable_value"
MOVED = event({"id": 2, "note": LEFT_OUT})


@pytest.mark.parametrize(
    "old",
    [
        *(
            None,
            b"",
            b"{",
            b"1",
            b"null",
            b"[]",
            b'"id"',
            b"{}",
            b'{"id":null}',
            b'{"id":"one"}',
            b'{"id":[]}',
        ),
        *(b'{"payload":{"id":1}}', b'{"schema":{},"payload":null}'),
    ],
)
def test_an_old_key_that_is_none_is_bad_when_values_are_taken_from_its_row(old: bytes | None) -> None:
    headers = [("trace", None), ("__debezium.oldkey", old)]
    assert error_of(MOVED, ORDERS, headers=headers) == "the old key is no key of the table"
    assert error_of(event({"id": 2, "note": "told"}), ORDERS, headers=headers) is None
    rows = row_of(MOVED, ORDERS, headers=headers)
    rows = rows.set_column(rows.schema.get_field_index("error"), "error", pa.nulls(1, pa.string()))
    with pytest.raises(EventError, match="cannot be read"):
        list(Events(ORDERS).of(good(rows)))


@pytest.mark.parametrize("old", [b'{"id":1}', b'{"schema":{},"payload":{"id":1}}', b'{"id":"1","more":2}'])
def test_an_old_key_is_read_with_and_without_its_schema(old: bytes) -> None:
    assert error_of(MOVED, ORDERS, headers=[("__debezium.oldkey", old)]) is None
    assert Events(ORDERS)._old_key([{"key": "__debezium.oldkey", "value": old}]) == (1,)


def test_an_old_key_that_a_wider_type_has_tells_the_type() -> None:
    table = Table("public.orders", ("id",), (Column("id", "integer", False), Column("note", "text")), ())
    rows = row_of(MOVED, table, headers=[("__debezium.oldkey", b'{"id":5000000000}')])
    assert rows["error"].to_pylist() == [None]
    with pytest.raises(WiderColumn, match="its column id has to be bigint"):
        list(Events(table).of(good(rows)))
