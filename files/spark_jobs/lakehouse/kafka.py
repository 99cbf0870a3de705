"""Kafka's own view of the topics: their ids, and where their records begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import SparkSession

from lakehouse.config import Kafka
from lakehouse.jvm import java_class
from lakehouse.retry import NeedsSomebody


class KafkaError(NeedsSomebody):
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
    new_map = java_class(spark, "java.util.HashMap")
    settings = new_map()
    for key, value in {
        **client_options(kafka),
        "default.api.timeout.ms": "20000",
        "request.timeout.ms": "10000",
    }.items():
        settings.put(key, value)
    names = java_class(spark, "java.util.ArrayList")()
    for topic in topics:
        names.add(topic)
    admin = java_class(spark, "org.apache.kafka.clients.admin.AdminClient").create(settings)
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

        topic_partition = java_class(spark, "org.apache.kafka.common.TopicPartition")

        def offsets(spec: object) -> dict[tuple[str, int], int]:
            wanted = new_map()
            keys = {key: topic_partition(*key) for key in partitions}
            for key in keys.values():
                wanted.put(key, spec)
            found = admin.listOffsets(wanted).all().get()
            return {key: int(found.get(partition).offset()) for key, partition in keys.items()}

        spec = java_class(spark, "org.apache.kafka.clients.admin.OffsetSpec")
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
