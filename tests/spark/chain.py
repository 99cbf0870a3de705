"""Kafka, the pipeline and its tables, with records as Debezium writes them."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import deliveries
import yaml
from deliveries import TABLE
from lakehouse import config, pipeline
from lakehouse.config import Config
from oracle import Event, history
from pyspark.sql import DataFrame, SparkSession
from streams import TRUNCATE, delete, in_order, put

from tools.local_kafka import Broker

MODEL = """-- keys: [status]
-- changes: {things: 'SELECT status FROM {changes}'}
SELECT status, count(*) AS things FROM {things} GROUP BY status
"""
_number = count()


class Chain:
    """Kafka, the pipeline and its tables; `sent` is what Kafka has."""

    def __init__(self, spark: SparkSession, kafka: Broker, folder: Path, **settings: object) -> None:
        self._spark = spark
        self._kafka = kafka
        self.settings_file = folder / "pipeline.yml"
        (folder / "gold").mkdir()
        (folder / "gold" / "things_by_status.sql").write_text(MODEL, encoding="utf-8")
        self.settings_file.write_text(
            yaml.safe_dump({**_settings(kafka, folder), **settings}), encoding="utf-8"
        )
        self.config: Config = config.load(self.settings_file)
        (self._topic,) = self.config.topics
        kafka.create_topic(self._topic)
        self.sent: list[Event] = []

    def send(self, events: list[Event]) -> None:
        events = [replace(event, offset=len(self.sent) + place) for place, event in enumerate(events)]
        self._kafka.send(self._topic, [record[-2:] for record in deliveries.records(events)])
        self.sent += events

    def run(self) -> None:
        pipeline.run_now(self._spark, self.config)

    @property
    def environment(self) -> Mapping[str, str]:
        """Of a process that runs the jobs; Spark's own settings are there since the session began."""
        return os.environ | {"PYTHONPATH": str(Path(pipeline.__file__).parents[1])}

    def check(self) -> None:
        """Every layer has what was sent, once."""
        bronze = self._read(self.config.bronze_path).orderBy("offset").select("offset", "key", "value")
        records = [(record[2], record[5], record[6]) for record in deliveries.records(self.sent)]
        stored = [tuple(_bytes(value) for value in row) for row in bronze.collect()]
        assert stored == records
        rows = self._read(self.config.silver_path(TABLE)).orderBy("id", "version").collect()
        assert [deliveries.version(row) for row in rows] == history(self.sent)
        current = Counter(row.status for row in rows if row.is_current and row.status is not None)
        gold = self._read(self.config.gold_path("things_by_status")).collect()
        assert {row.status: row.things for row in gold} == current

    def _read(self, path: str) -> DataFrame:
        return self._spark.read.format("delta").load(path)


def _settings(kafka: Broker, folder: Path) -> dict[str, object]:
    columns = [{"name": c.name, "type": c.type, "nullable": c.nullable} for c in TABLE.columns]
    table = {"name": TABLE.name, "key": [*TABLE.key], "columns": columns, "tracked_columns": [*TABLE.tracked]}
    return {
        "storage": f"file://{folder}/lake",
        "kafka": {"bootstrap_servers": kafka.address, "topic_prefix": f"cdc{next(_number)}"},
        "source": {"system_id": "7", "timeline": 1},
        "tables": [table],
        "gold_models": str(folder / "gold"),
        "status_file": str(folder / "status.json"),
        "state": str(folder / "state"),
    }


def _bytes(value: object) -> object:
    return (
        value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, bytearray) else value
    )


def changes(seed: int, number: int) -> list[Event]:
    dice = random.Random(seed)
    made: list[dict[str, object]] = []
    for _ in range(number):
        key, kind = dice.randrange(12), dice.random()
        made.append(
            TRUNCATE
            if kind < 0.02
            else delete(key)
            if kind < 0.2
            else put(key, dice.choice(["a", "b", "c", None]), dice.choice("xyz"))
        )
    events: list[Event] = in_order(*made)
    return events
