"""Debezium's envelope: from Kafka records to rows of bronze. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import values
from lakehouse.config import Table
from lakehouse.events import Events

BRONZE_SCHEMA = """
    topic string, partition int, offset bigint, kafka_timestamp timestamp,
    headers array<struct<key: string, value: binary>>, key string, value string,
    epoch string, source_table string, op string, lsn bigint, tx_id bigint, source_ts timestamp,
    ingested_at timestamp, error string
"""

_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_MOMENT = pa.timestamp("us", tz="UTC")
RECORDS = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", _MOMENT),
        ("headers", _HEADERS),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)
"""What is read of Kafka's records, as Spark's Kafka source names it."""

_RAW_TEXT = pc.CastOptions(pa.string(), allow_invalid_utf8=True)  # whatever was sent is kept


class _Told(NamedTuple):
    """What a record says, as far as it can be read."""

    op: str | None = None
    lsn: int | None = None
    tx_id: int | None = None
    source_ts: int | None = None
    error: str | None = None


_TYPES = {
    "op": pa.string(),
    "lsn": pa.int64(),
    "tx_id": pa.int64(),
    "source_ts": pa.int64(),
    "error": pa.string(),
}
# What Python can show of a timestamp: the years 1 to 9999.
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
_NOTHING = _Told()
_NO_OBJECT = _Told(error="the value is no JSON object of an envelope's shape")


class Envelopes:
    """Reads the records of some topics."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        """Prepare; `tables` gives the table that each topic carries."""
        self._names = {topic: table.name for topic, table in tables.items()}
        self._events = {topic: Events(table) for topic, table in tables.items()}

    def bronze_rows(self, records: pa.Table, epochs: Mapping[str, str], now: int) -> pa.Table:
        """One row of bronze for each Kafka record, whatever is in it.

        Args:
            records: Rows with the columns of `RECORDS`.
            epochs: The present epoch of each topic.
            now: Microseconds since 1970.

        Returns:
            Rows of BRONZE_SCHEMA; `error` says why a record is no event, and is null for good ones and for
            tombstones.
        """
        topics = records["topic"].to_pylist()
        made = pa.table(
            {
                "topic": records["topic"],
                "partition": records["partition"],
                "offset": records["offset"],
                "kafka_timestamp": records["timestamp"].cast(_MOMENT),
                "headers": records["headers"].cast(_HEADERS),
                "key": pc.cast(records["key"], options=_RAW_TEXT),
                "value": pc.cast(records["value"], options=_RAW_TEXT),
                "epoch": pa.array([epochs[topic] for topic in topics], pa.string()),
                "source_table": pa.array([self._names[topic] for topic in topics], pa.string()),
                "ingested_at": pa.array([now] * len(topics), pa.int64()).view(_MOMENT),
            }
        )
        for name, column in self.judged(records).items():
            made = made.append_column(name, column)
        return made

    def judged(self, records: pa.Table) -> dict[str, pa.Array]:
        """What records say, as the columns of bronze that tell it; `error` as in `bronze_rows`.

        Args:
            records: Rows with topic, headers, key and value; the last two as bytes.
        """
        names = ("topic", "key", "value", "headers")
        said = zip(*(records[name].to_pylist() for name in names), strict=True)
        told = [_read(self._events[topic], *record) for topic, *record in said]
        columns = {name: [getattr(one, name) for one in told] for name in _Told._fields}
        made = {name: pa.array(column, _TYPES[name]) for name, column in columns.items()}
        return made | {"source_ts": made["source_ts"].view(_MOMENT)}


def _read(events: Events, key: bytes | None, value: bytes | None, headers: Any) -> _Told:
    if value is None:
        return _NOTHING
    try:
        told = orjson.loads(value)
        (key or b"").decode()
    except UnicodeDecodeError:
        return _Told(error="the key is no text")
    except orjson.JSONDecodeError:
        return _NO_OBJECT
    if not isinstance(told, dict) or not isinstance(told.get("source") or {}, dict):
        return _NO_OBJECT
    source = told.get("source") or {}
    error: str | None
    op, lsn, source_ts = told.get("op"), _integer(source.get("lsn")), _integer(source.get("ts_us"))
    if op is None:
        error = "op is missing"
    elif lsn is None:
        error = _no_integer("lsn", source)
    elif source_ts is None:
        error = _no_integer("ts_us", source)
    elif not _FIRST_TIME <= source_ts <= _LAST_TIME:
        error, source_ts = f"source.ts_us: {source_ts} is no time", None
    else:
        error = _fault(events, told, key, headers)
    return _Told(op if isinstance(op, str) else None, lsn, _integer(source.get("txId")), source_ts, error)


def _fault(events: Events, told: dict[str, Any], key: bytes | None, headers: Any) -> str | None:
    try:
        return events.fault(told, key, headers)
    except MemoryError:
        raise  # no fault of the record
    except Exception as error:  # one record stops no other, whatever is in it
        return f"it cannot be judged: {type(error).__name__}"


def _no_integer(name: str, source: dict[str, Any]) -> str:
    value = source.get(name)
    if value is None:
        return f"source.{name} is missing"
    return f"source.{name}: {values.shown(value)} is no bigint"


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None
