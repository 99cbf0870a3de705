"""Changes a partitioned table and checks that its topic tells the same rows, also those of before.

Runs on the node: partitions.py HOST PASSWORD-FILE
"""

import json
import sys
import time
from pathlib import Path

import psycopg2
from confluent_kafka import Consumer, TopicPartition

TOPIC = "cdc.public.visits"
CHANGES = [
    "INSERT INTO visits VALUES ('2026-06-01', 2, 'new'), ('2027-06-01', 2, 'new'), ('2027-06-02', 3, 'new')",
    "UPDATE visits SET page = 'changed' WHERE visitor = 1 AND day = '2026-05-01'",
    "UPDATE visits SET day = '2026-06-02' WHERE visitor = 3",  # moves to the other partition
    "DELETE FROM visits WHERE visitor = 2 AND day = '2027-06-01'",
]

host, password = sys.argv[1], Path(sys.argv[2]).read_text()
consumer = Consumer({"bootstrap.servers": f"{host}:9092", "group.id": "verify"})
consumer.assign([TopicPartition(TOPIC, 0, 0)])
rows: dict[tuple[int, str], str] = {}


def await_rows(wanted: dict[tuple[int, str], str]) -> None:
    """Apply events until their rows are these."""
    deadline = time.monotonic() + 60
    while rows != wanted:
        assert time.monotonic() < deadline, f"the events tell {rows}, and the table holds {wanted}"
        message = consumer.poll(1)
        event = json.loads((message and message.value()) or "null")
        if message is None or event is None:
            continue
        assert event["source"]["table"] == "visits", event["source"]
        if event["op"] == "t":
            rows.clear()
            continue
        key = json.loads(message.key() or "{}")
        where = (key["visitor"], key["day"].removesuffix("Z"))
        if event["op"] == "d":
            del rows[where]
        else:
            rows[where] = event["after"]["page"]


connection = psycopg2.connect(host=host, dbname="shop", user="shop_app", password=password)
connection.autocommit = True
cursor = connection.cursor()
await_rows({(1, "2026-05-01"): "there before", (1, "2027-05-01"): "there before"})
for change in CHANGES:
    cursor.execute(change)
await_rows(
    {
        (1, "2026-05-01"): "changed",
        (1, "2027-05-01"): "there before",
        (2, "2026-06-01"): "new",
        (3, "2026-06-02"): "new",
    }
)
cursor.execute("TRUNCATE visits")
await_rows({})
