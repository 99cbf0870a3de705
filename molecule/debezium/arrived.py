"""Says which rows never reached the topic.

Runs on the node: arrived.py HOST FIRST LAST; waits until all keys FIRST..LAST of every_type are in the topic.
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

TOPIC = TopicPartition("cdc.public.every_type", 0, 0)

host, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
wanted = set(range(first, last + 1))
consumer = Consumer({"bootstrap.servers": f"{host}:9092", "group.id": "verify"})
consumer.assign([TOPIC])
in_order = []
deadline = time.monotonic() + 180
while wanted and time.monotonic() < deadline:
    for message in consumer.consume(10000, 1):
        key = json.loads(message.key() or '{"id": null}')["id"]
        if key in wanted:
            wanted.remove(key)
            in_order.append(key)
if wanted:
    sys.exit(f"{len(wanted)} rows are not in the topic, among them {sorted(wanted)[:5]}")
if in_order != sorted(in_order):
    sys.exit("the first deliveries are not in the order of the table")
