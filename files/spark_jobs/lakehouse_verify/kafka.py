"""What Kafka holds of the topics that feed the lakehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicCollection, TopicPartition, Uuid
from confluent_kafka.admin import AdminClient

from lakehouse_verify.bronze import Extent, Partition

TIMEOUT = 10


def extents(settings: Mapping[str, Any], topics: Iterable[str]) -> dict[Partition, Extent]:
    """The id of each of some topics, and the offsets of its partitions.

    Args:
        settings: What librdkafka needs: bootstrap.servers, …
        topics: The topics; one that does not exist yet has no partition.
    """
    admin = AdminClient(dict(settings))  # what it is asked is only answered while it is there
    consumer = Consumer({**settings, "group.id": "lakehouse-verify"})
    try:
        known = consumer.list_topics(timeout=TIMEOUT).topics
        there = [topic for topic in topics if topic in known]
        described = admin.describe_topics(TopicCollection(there), request_timeout=TIMEOUT)
        ids = {topic: _text(described[topic].result().topic_id) for topic in there}
        return {
            (topic, partition): Extent(
                *consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT), ids[topic]
            )
            for topic in there
            for partition in known[topic].partitions
        }
    finally:
        consumer.close()


def _text(topic_id: Uuid) -> str:
    """A topic's id as Kafka itself writes it; librdkafka has other signs of base64."""
    return str(topic_id).translate(str.maketrans("+/", "-_"))
