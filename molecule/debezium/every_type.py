"""Writes a row of every type into PostgreSQL and checks each event that Debezium makes of it.

Runs on the node: every_type.py HOST PASSWORD-FILE SALT-FILE
"""

import base64
import hashlib
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka import Consumer, Message, TopicPartition
from lakehouse_verify.source import Source

TOPIC = "cdc.public.every_type"
LONG = "x" * 20000

# Column: what is written, and what the event shows.
ROW = {
    "c_boolean": ("true", True),
    "c_smallint": ("-1", -1),
    "c_integer": ("2", 2),
    "c_bigint": ("9223372036854775807", 9223372036854775807),
    "c_real": ("1.5", 1.5),
    "c_double": ("'NaN'", "NaN"),
    "c_numeric": ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    "c_numeric_12_2": ("12.5", "12.50"),
    "c_money": ("'1234.5'", "1234.50"),
    "c_text": ("NULL", None),
    "c_varchar": ("'Grüße \"x\" \\ 🙂'", 'Grüße "x" \\ 🙂'),
    "c_char": ("'ab'", "ab   "),
    "c_enum": ("'it''s fine'", "it's fine"),
    "c_uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "c_json": ('\'{"b": 1.10, "b":2}\'', '{"b": 1.10, "b":2}'),
    "c_jsonb": ("'{\"b\":1.10}'", '{"b": 1.10}'),
    "c_bytea": ("'\\x00ff10'", "AP8Q"),
    "c_date": ("'2026-03-01'", "2026-03-01Z"),
    "c_time": ("'12:34:56.123456'", "12:34:56.123456Z"),
    "c_timetz": ("'12:34:56+02'", "10:34:56Z"),
    "c_timestamp": ("'2026-03-01 12:34:56.5'", "2026-03-01T12:34:56.5Z"),
    "c_timestamptz": ("'2026-03-01 12:34:56.123456+02'", "2026-03-01T10:34:56.123456Z"),
    "c_interval": ("'1 year 2 months 3 days 04:05:06.789'", "P1Y2M3DT4H5M6.789S"),
    "c_integers": ("'{1,NULL,3}'", [1, None, 3]),
    "c_texts": ("'{a,\"b,c\"}'", ["a", "b,c"]),
    "c_numerics": ("'{1.5}'", ["1.50"]),
    "c_timestamptzs": ("'{2026-03-01 12:34:56+00}'", ["2026-03-01T12:34:56.000000Z"]),
    "c_inet": ("'10.0.0.1/8'", "10.0.0.1/8"),
    "c_range": ("'[1,5)'", "[1,5)"),
    "c_hstore": ("'a=>1,b=>NULL'", '{"a":"1","b":null}'),
    "c_bits": ("B'1010'", "Cg=="),
    "c_long": (f"'{LONG}'", LONG),
    "c_long_bytes": (f"'{LONG}'", base64.b64encode(LONG.encode()).decode()),
}
# Masked columns: what is written, what is hashed of it, and how much of the hash fits into the column.
MASKED = {
    "m_text": ("'Grüße'", "Grüße", 64),
    "m_null": ("NULL", None, 64),
    "m_varchar": ("'ada@example.org'", "ada@example.org", 20),
    "m_char": ("'ab'", "ab".ljust(24), 24),
    "m_long": (f"'{LONG}'", LONG, 64),
    "m{x}|+": ("'Ada'", "Ada", 64),
}
WRITTEN = {name: value for name, (value, *_) in (ROW | MASKED).items()}


def main() -> None:
    """Write, read, compare."""
    host, password, salt = sys.argv[1], *(Path(name).read_text() for name in sys.argv[2:])
    masks = {name: mask(salt, value, length) for name, (_, value, length) in MASKED.items()}
    expected = {name: seen for name, (_, seen) in ROW.items()} | masks
    consumer = Consumer({"bootstrap.servers": f"{host}:9092", "group.id": "verify"})
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    consumer.assign([TopicPartition(TOPIC, 0, end)])

    connection = psycopg2.connect(host=host, dbname="shop", user="shop_app", password=password)
    connection.autocommit = True
    cursor = connection.cursor()
    columns, values = ", ".join(f'"{name}"' for name in WRITTEN), ", ".join(WRITTEN.values())
    cursor.execute("TRUNCATE every_type")
    cursor.execute(f"INSERT INTO every_type (id, {columns}) VALUES (1, {values})")  # noqa: S608
    assert verified(host, password, salt) == masks
    cursor.execute("UPDATE every_type SET c_smallint = 7")
    cursor.execute("UPDATE every_type SET id = 2")
    cursor.execute("DELETE FROM every_type")

    messages: list[Message] = []
    deadline = time.monotonic() + 60
    while len(messages) < 8 and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            messages.append(message)
    keys: list[Any] = [json.loads(message.key() or "null") for message in messages]
    events: list[Any] = [json.loads(message.value() or "null") for message in messages]
    updated = expected | {"c_smallint": 7}

    seen = [(event and event["op"], key and key["id"]) for event, key in zip(events, keys, strict=True)]
    wanted = [("t", None), ("c", 1), ("u", 1), ("d", 1), (None, 1), ("c", 2), ("d", 2), (None, 2)]
    assert seen == wanted, f"the events are {seen}, and should be {wanted}"
    same(events[1]["after"], expected | {"id": 1})
    same(events[2]["before"], expected | {"id": 1})
    same(events[2]["after"], updated | {"id": 1})
    same(events[3]["before"], updated | {"id": 1})
    same(events[5]["after"], updated | {"id": 2})
    for event in filter(None, events):
        source = event["source"]
        assert source["schema"] == "public" and source["table"] == "every_type", source
        assert source["snapshot"] is None, source
        assert source["txId"] > 0 and source["lsn"] > 0 and source["ts_us"] > 0, source
        assert len(json.loads(source["sequence"])) == 2, source
    headers = [dict(message.headers() or []) for message in messages]
    assert headers[3]["__debezium.newkey"] == b'{"id":2}', headers[3]
    assert headers[5]["__debezium.oldkey"] == b'{"id":1}', headers[5]


def mask(salt: str, value: str | None, length: int) -> str | None:
    """What a masked column shows."""
    return None if value is None else hashlib.sha256((salt + value).encode()).hexdigest()[:length]


def verified(host: str, password: str, salt: str) -> dict[str, str | None]:
    """What verify computes in the source for the masked columns."""
    settings = {"host": host, "dbname": "shop", "user": "shop_app", "password": password}
    with closing(Source(settings, "lakehouse", salt)) as source:
        table = source.table("public.every_type", ["secret", "c[1], $ (é)"], list(MASKED))
        with source.cut() as cut:
            types = {"id": "bigint"} | dict.fromkeys(MASKED, "string")
            ((_, *row),) = cut.reader(table, types).rows(["1:1"])["1:1"]
    return dict(zip(MASKED, row, strict=True))


def same(row: dict[str, Any], expected: dict[str, Any]) -> None:
    """Fail with the columns that differ."""
    names = sorted(row.keys() | expected.keys())
    wrong = [
        f"{name} is {row.get(name, 'absent')!r:.100} instead of {expected.get(name, 'absent')!r:.100}"
        for name in names
        if row.get(name, "absent") != expected.get(name, "absent")
    ]
    assert not wrong, "; ".join(wrong)


main()
