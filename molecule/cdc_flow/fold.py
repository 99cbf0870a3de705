"""Applies the events of each table in their order, and compares what comes out with the table in PostgreSQL.

Runs on the node, while nobody writes: fold.py HOST PASSWORD-FILE
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka import Consumer, TopicPartition

# Each column as its event shows it.
ROWS = {
    "customers": "customer_id, name, email, country",
    "products": "product_id, sku, name, category, price::text, active",
    "orders": "order_id, customer_id, status, amount::text, currency, note",
    "order_items": "order_id, line_no, product_id, quantity, unit_price::text",
}
SECONDS = 60


def fold(consumer: Consumer, table: str) -> tuple[dict[bytes, Any], dict[str, int]]:
    """Return the rows by key that the topic's events lead to, and how many events of each kind there were."""
    topic = TopicPartition(f"cdc.public.{table}", 0)
    _, end = consumer.get_watermark_offsets(topic, timeout=10)
    consumer.assign([TopicPartition(topic.topic, 0, 0)])
    rows: dict[bytes, Any] = {}
    kinds: dict[str, int] = {}
    position = 0
    while position < end:
        message = consumer.poll(10)
        if message is None:
            sys.exit(f"{topic.topic} ends at {end}, and gives nothing after {position}")
        position = (message.offset() or 0) + 1
        event = json.loads(message.value() or "null")
        if event is None:
            continue
        kinds[event["op"]] = kinds.get(event["op"], 0) + 1
        key = message.key() or b""
        if event["op"] == "t":
            rows.clear()
        elif event["op"] == "d":
            rows.pop(key, None)
        else:
            rows[key] = event["after"]
    return rows, kinds


def main() -> None:
    """Compare table by table, until all are equal or the time is up."""
    host, password = sys.argv[1], Path(sys.argv[2]).read_text()
    consumer = Consumer({"bootstrap.servers": f"{host}:9092", "group.id": "verify"})
    connection = psycopg2.connect(host=host, dbname="shop", user="shop_app", password=password)
    cursor = connection.cursor()
    deadline = time.monotonic() + SECONDS
    for table, columns in ROWS.items():
        cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608
        names = [column.name for column in cursor.description]
        held = set(cursor.fetchall())
        while True:
            rows, kinds = fold(consumer, table)
            told = {tuple(row[name] for name in names) for row in rows.values()}
            if told == held:
                break
            if time.monotonic() > deadline:
                sys.exit(
                    f"{table}: {len(held - told)} rows only in PostgreSQL, {len(told - held)} only in Kafka, "
                    f"among them {list(held ^ told)[:3]}"
                )
            time.sleep(1)
        if not held or (table == "orders" and not {"c", "u", "d"} <= kinds.keys()):
            sys.exit(f"{table} saw too little: {len(held)} rows, events {kinds}")
        print(f"{table}: {len(held)} rows, events {kinds}")


main()
