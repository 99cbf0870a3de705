"""Runs tasks until each named host has run one, prints how many ran where; fails after two minutes."""

import socket
import sys
import time
from collections import Counter

from pyspark.sql import SparkSession


def where(_: object) -> list[str]:
    """One row for a task: the host it runs on."""
    time.sleep(0.2)  # Long enough that one executor cannot do all of the tasks before the others get theirs.
    return [socket.gethostname()]


expected = set(sys.argv[1].split(","))
seen: Counter[str] = Counter()
spark = SparkSession.builder.appName("smoke").getOrCreate()
deadline = time.monotonic() + 120
while not expected <= seen.keys() and time.monotonic() < deadline:
    seen.update(spark.sparkContext.parallelize(range(8), 8).mapPartitions(where).collect())
spark.stop()

for host, tasks in sorted(seen.items()):
    print(f"{host}: {tasks} tasks")
if missing := ", ".join(sorted(expected - seen.keys())):
    sys.exit(f"No task ran on {missing} within two minutes: is its worker alive, has it a free core?")
