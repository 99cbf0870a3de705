"""Makes what Kafka would deliver for the oracle's events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lakehouse import envelope, scd2
from lakehouse.config import Column, Table
from lakehouse.events import COLUMNS
from oracle import UNAVAILABLE, Event, Version
from pyspark.sql import DataFrame, Row, SparkSession

TABLE = Table(
    "public.things",
    key=("id",),
    columns=(Column("id", "bigint", nullable=False), Column("status", "text"), Column("note", "text")),
    tracked=("status",),
)
TOPIC = "cdc.public.things"
EPOCH = "0001/7/1/t"
KAFKA_SCHEMA = (
    "topic string, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>, key binary, value binary"
)
_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_TYPES = {name: pa.string() for name in ("epoch", "key", "value", "op")}
_TYPES |= {"headers": _HEADERS, "partition": pa.int32()}
_START = datetime(2026, 1, 1, tzinfo=UTC)


def record(offset: int, key: Any, value: Any, *, partition: int = 0, topic: str = TOPIC) -> tuple[Any, ...]:
    """A Kafka record; key and value are bytes, None, or what becomes JSON."""
    key, value = (
        item if item is None or isinstance(item, bytes) else json.dumps(item).encode()
        for item in (key, value)
    )
    return (topic, partition, offset, _START, [], key, value)


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
        "source": {"lsn": event.lsn, "txId": event.tx, "ts_us": at, "schema": "public", "table": "things"},
        "op": event.op,
    }


def bronze(
    spark: SparkSession, records: Iterable[tuple[Any, ...]], table: Table = TABLE, epoch: str = EPOCH
) -> DataFrame:
    """The bronze rows of records."""
    kafka = spark.createDataFrame(list(records), KAFKA_SCHEMA)
    return envelope.bronze_rows(kafka, {TOPIC: table}, {TOPIC: epoch})


def records(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """The Kafka records of events."""
    return [record(e.offset, None if e.key is None else {"id": e.key}, envelope_of(e)) for e in events]


def rows(events: Iterable[Event]) -> pa.Table:
    """The good bronze rows of events, as silver reads them."""
    made = []
    for event in events:
        told = envelope_of(event)
        source = told["source"]
        key = None if event.key is None else json.dumps({"id": event.key})
        where = {"epoch": EPOCH, "partition": 0, "offset": event.offset}
        what = {"op": event.op, "lsn": event.lsn, "tx_id": event.tx, "source_ts": source["ts_us"]}
        made.append({**where, "key": key, "value": json.dumps(told), "headers": [], **what})
    return pa.Table.from_pylist(made, pa.schema([(name, _TYPES.get(name, pa.int64())) for name in COLUMNS]))


def append_to_bronze(folder: Path, version: int, events: Iterable[Event]) -> None:
    """Makes events the next version of a bronze table in a local folder, without Spark."""
    made = rows(events)
    at = made["source_ts"].cast(pa.timestamp("us", tz="UTC"))
    made = made.set_column(made.schema.get_field_index("source_ts"), "source_ts", at)
    made = made.append_column("source_table", pa.array([TABLE.name] * made.num_rows))
    made = made.append_column("error", pa.nulls(made.num_rows, pa.string()))
    name = f"part-{version}.parquet"
    pq.write_table(made, folder / name)
    size = (folder / name).stat().st_size
    stats = json.dumps({"numRecords": made.num_rows})
    add = {"path": name, "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    log = folder / "_delta_log" / f"{version:020}.json"
    log.write_text(json.dumps({"add": add | {"stats": stats}}) + "\n")


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
