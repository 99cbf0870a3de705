"""Kafka's own view of the topics: their ids, and where their records begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.config import Kafka


class KafkaError(Exception):
    """Kafka is not as the pipeline needs it; the message says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic as the broker describes it; offsets by partition."""

    id: str
    earliest: dict[int, int]
    latest: dict[int, int]


def client_options(kafka: Kafka) -> dict[str, str]:
    """The settings of every Kafka client of the jobs."""
    return {"bootstrap.servers": kafka.bootstrap_servers}


def describe(spark: SparkSession, kafka: Kafka, topics: Iterable[str]) -> dict[str, Topic]:
    """Asks the broker about topics."""
    jvm: Any = spark._jvm
    settings = jvm.java.util.HashMap()
    for key, value in {
        **client_options(kafka),
        "default.api.timeout.ms": "20000",
        "request.timeout.ms": "10000",
    }.items():
        settings.put(key, value)
    names = jvm.java.util.ArrayList()
    for topic in topics:
        names.add(topic)
    admin = jvm.org.apache.kafka.clients.admin.AdminClient.create(settings)
    try:
        missing = sorted(set(names) - set(admin.listTopics().names().get()))
        if missing:
            raise KafkaError(
                f"the topics {', '.join(missing)} are not on {kafka.bootstrap_servers}; "
                "apply the roles kafka and debezium, or mend kafka.topic_prefix"
            )
        described = admin.describeTopics(names).allTopicNames().get()
        ids = {name: str(described.get(name).topicId()) for name in names}
        partitions = [
            (name, int(part.partition())) for name in names for part in described.get(name).partitions()
        ]

        def offsets(spec: object) -> dict[tuple[str, int], int]:
            wanted = jvm.java.util.HashMap()
            keys = {key: jvm.org.apache.kafka.common.TopicPartition(*key) for key in partitions}
            for key in keys.values():
                wanted.put(key, spec)
            found = admin.listOffsets(wanted).all().get()
            return {key: int(found.get(partition).offset()) for key, partition in keys.items()}

        spec = jvm.org.apache.kafka.clients.admin.OffsetSpec
        earliest, latest = offsets(spec.earliest()), offsets(spec.latest())
    finally:
        admin.close()
    return {
        name: Topic(
            ids[name],
            {partition: at for (topic, partition), at in earliest.items() if topic == name},
            {partition: at for (topic, partition), at in latest.items() if topic == name},
        )
        for name in ids
    }
