"""What Kafka holds of the topics that feed the lakehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from lakehouse_verify.bronze import Extent, Partition

TIMEOUT = 10


def extents(settings: Mapping[str, Any], topics: Iterable[str]) -> dict[Partition, Extent]:
    """The offsets of each partition of some topics.

    Args:
        settings: What librdkafka needs: bootstrap.servers, …
        topics: The topics; one that does not exist yet has no partition.
    """
    consumer = Consumer({**settings, "group.id": "lakehouse-verify"})
    try:
        known = consumer.list_topics(timeout=TIMEOUT).topics
        return {
            (topic, partition): Extent(
                *consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT)
            )
            for topic in topics
            if topic in known
            for partition in known[topic].partitions
        }
    finally:
        consumer.close()
