"""From Kafka records to rows of bronze."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from lakehouse.config import Column, Table
from lakehouse.envelope import RECORDS, Envelopes
from lakehouse.events import Events, WiderColumn, good

ORDERS = Table("public.orders", ("id",), (Column("id", "bigint", False), Column("note", "text")), ("note",))
ITEMS = Table("public.items", ("sku",), (Column("sku", "text", False), Column("price", "numeric(9,2)")), ())
TABLES = {"cdc.public.orders": ORDERS, "cdc.public.items": ITEMS}
SOURCE = {"lsn": 7, "txId": 3, "ts_us": 1_700_000_000_000_000}


def bronze(values: list[bytes | None], topic: str = "cdc.public.items", key: bytes = b"{}") -> pa.Table:
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


def event(row: Any, **changed: Any) -> bytes:
    told = {"op": "c", "source": SOURCE, "before": None, "after": row} | changed
    return json.dumps(told).encode()


ROW = {"sku": "A", "price": "1.50"}


def test_good_events_and_tombstones_have_no_error() -> None:
    row = bronze([event(ROW), None, event(None, op="d", before=ROW), event(None, op="t")])
    assert row["error"].to_pylist() == [None] * 4
    assert row["op"].to_pylist() == ["c", None, "d", "t"]
    assert row["lsn"].to_pylist() == [7, None, 7, 7]


def test_each_record_is_judged_by_its_own_table() -> None:
    value = event({"id": 1, "note": "first"})
    assert bronze([value], topic="cdc.public.orders")["error"].to_pylist() == [None]
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


def test_of_a_delete_the_key_alone_has_to_be_good() -> None:
    rows = bronze([event(None, op="d", before=ROW | {"price": "NaN"})])
    assert rows["error"].to_pylist() == [None]
    (deleted,) = Events(ITEMS).of(good(rows))
    assert (deleted.key, deleted.row) == (("A",), None)


@pytest.mark.parametrize("price", ["1.505", "12345678.00"])
def test_a_value_that_a_wider_type_has_is_good_and_waits_for_its_declaration(price: str) -> None:
    rows = bronze([event(ROW | {"price": price})])
    assert rows["error"].to_pylist() == [None]
    with pytest.raises(WiderColumn, match=f"its column price has {price} in the source, and was numeric"):
        list(Events(ITEMS).of(good(rows)))
    (read,) = Events(ITEMS, {"price": "decimal(12,3)"}).of(good(rows))
    assert read.row is not None
    assert Decimal(str(read.row[1])) == Decimal(price)


def test_a_key_that_is_no_text_is_bad() -> None:
    assert bronze([event(ROW)], key=b"\xff")["error"].to_pylist() == ["the key is no text"]
