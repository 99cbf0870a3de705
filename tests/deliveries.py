"""Makes what Kafka would deliver for the oracle's events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from lakehouse import scd2
from lakehouse.config import Column, Table
from lakehouse.envelope import RECORDS, Envelopes
from lakehouse.events import good
from oracle import UNAVAILABLE, Event, Version
from pyspark.sql import Row

TABLE = Table(
    "public.things",
    key=("id",),
    columns=(Column("id", "bigint", nullable=False), Column("status", "text"), Column("note", "text")),
    tracked=("status",),
)
TOPIC = "cdc.public.things"
EPOCH = "0001/7/1/t"
_START = datetime(2026, 1, 1, tzinfo=UTC)


def record(offset: int, key: Any, value: Any, *, partition: int = 0, topic: str = TOPIC) -> tuple[Any, ...]:
    """A Kafka record; key and value are bytes, None, or what becomes JSON."""
    key, value = (
        item if item is None or isinstance(item, bytes) else json.dumps(item).encode()
        for item in (key, value)
    )
    return (topic, partition, offset, _START, [], key, value)  # as RECORDS names them


def envelope_of(event: Event) -> dict[str, Any]:
    """An event as Debezium writes it."""
    row = None
    if event.key is not None:
        values = {"status": event.status, "note": event.note}
        row = {"id": event.key} | {
            name: "__debezium_unavailable_value" if value is UNAVAILABLE else value
            for name, value in values.items()
        }
    at = int((_START + timedelta(seconds=event.at)).timestamp() * 1_000_000)
    return {
        "before": row if event.op == "d" else None,
        "after": None if event.op == "d" else row,
        "source": {
            **{"lsn": event.lsn, "txId": event.tx, "ts_us": at, "schema": "public", "table": "things"},
            "snapshot": "last" if event.last else "true" if event.op == "r" else "false",
        },
        "op": event.op,
    }


def bronze(
    records: Iterable[tuple[Any, ...]], table: Table = TABLE, epoch: str = EPOCH, at: int = 0
) -> pa.Table:
    """The bronze rows of records; `at` is when bronze took them in, in microseconds since 1970."""
    told = [dict(zip(RECORDS.names, record, strict=True)) for record in records]
    kafka = pa.Table.from_pylist(told, RECORDS)
    return Envelopes({TOPIC: table}).bronze_rows(kafka, {TOPIC: epoch}, at)


def records(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """The Kafka records of events."""
    return [
        record(e.offset, None if e.key is None else {"id": e.key}, envelope_of(e), partition=e.partition)
        for e in events
    ]


def rows(events: Iterable[Event]) -> pa.Table:
    """The good bronze rows of events, as silver reads them."""
    return good(bronze(records(events)))


def expected(found: scd2.Version) -> Version:
    """A version as the oracle has it."""
    key, status, note = found.row
    began, ended = found.began, found.ended
    seconds = [
        None if mark is None else mark.at // 1_000_000 - int(_START.timestamp()) for mark in (began, ended)
    ]
    return Version(
        key=key,
        number=found.number,
        status=status,
        note=note,
        valid_from=seconds[0],
        valid_to=seconds[1],
        from_lsn=began.lsn,
        from_snapshot=began.op == "r",
        from_offset=began.position.offset,
        to_offset=None if ended is None else ended.position.offset,
    )


def without_places(versions: Iterable[Version]) -> list[Version]:
    """Versions to compare where events came by other partitions, and have other offsets."""
    return [replace(v, from_offset=0, to_offset=None if v.to_offset is None else 0) for v in versions]


def version(row: Row) -> Version:
    """A row of the backing table as the oracle has it."""

    def seconds(at: datetime | None) -> int | None:
        return None if at is None else int(at.replace(tzinfo=UTC).timestamp() - _START.timestamp())

    return Version(
        key=row.id,
        number=row.version,
        status=row.status,
        note=row.note,
        valid_from=seconds(row.valid_from),
        valid_to=seconds(row.valid_to),
        from_lsn=row.valid_from_lsn,
        from_snapshot=row.valid_from_snapshot,
        from_offset=row.valid_from_position.offset,
        to_offset=None if row.valid_to_position is None else row.valid_to_position.offset,
    )
