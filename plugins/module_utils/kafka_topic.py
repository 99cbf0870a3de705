# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``kafka_topic`` module decides and does, without Ansible.

:func:`plan` compares what is there with what is wanted and names the steps, or says why there is no way;
:func:`apply` runs them against an :class:`Admin`. A real cluster is behind :class:`ConfluentAdmin`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class TopicError(Exception):
    """What was asked for cannot or must not be done; the message says why and names the way out."""


class UnknownTopic(TopicError):
    """The broker that was asked does not know the topic."""


@dataclass(frozen=True)
class Topic:
    """A topic as the cluster has it.

    ``config`` holds what was set on the topic itself, not what it inherits from the brokers.
    """

    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The topic as a diff or a return value shows it."""
        return {
            "partitions": self.partitions,
            "replication_factor": self.replication_factor,
            "config": dict(sorted(self.config.items())),
        }


@dataclass(frozen=True)
class Wanted:
    """A topic as the user wants it; ``None`` leaves that property to the cluster."""

    name: str
    present: bool = True
    partitions: int | None = None
    replication_factor: int | None = None
    config: Mapping[str, str] | None = None
    cdc: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps from what is to what is wanted."""

    create: bool = False
    delete: bool = False
    grow_to: int | None = None
    set_config: Mapping[str, str] = field(default_factory=dict)
    reset_config: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.delete or self.grow_to or self.set_config or self.reset_config)


class Admin(Protocol):
    """What a cluster must be able to do. With ``validate_only`` it judges a request without doing it."""

    def describe(self, name: str) -> Topic | None:
        """The topic, or None when there is none of that name."""

    def create(self, wanted: Wanted, *, validate_only: bool) -> None:
        """Make the topic."""

    def grow(self, name: str, partitions: int, *, validate_only: bool) -> None:
        """Raise the number of partitions to ``partitions``."""

    def configure(
        self, name: str, values: Mapping[str, str], reset: tuple[str, ...], *, validate_only: bool
    ) -> None:
        """Set ``values`` on the topic, and let it inherit the keys in ``reset`` again."""

    def delete(self, name: str) -> None:
        """Remove the topic."""


def config_text(config: Mapping[str, Any]) -> dict[str, str]:
    """Topic settings as Kafka writes them: YAML's numbers and booleans become text.

    Raises:
        TopicError: A value is neither text, number nor boolean.
    """
    result = {}
    for key, value in config.items():
        if isinstance(value, bool):
            result[key] = str(value).lower()
        elif isinstance(value, str | int | float):
            result[key] = str(value)
        else:
            raise TopicError(f"config.{key} is {value!r}, and must be text, a number or a boolean.")
    return result


def same_value(left: str, right: str) -> bool:
    """Whether two settings mean the same: Kafka answers ``0.5`` to ``0.50`` and drops blanks in lists."""
    if left == right or left.replace(" ", "") == right.replace(" ", ""):
        return True
    try:
        return float(left) == float(right)
    except ValueError:
        return False


def plan(current: Topic | None, wanted: Wanted) -> Plan:
    """The steps that lead from ``current`` to ``wanted``.

    Raises:
        TopicError: There is no way, or only one that would break what depends on the topic.
    """
    if not wanted.present:
        return Plan(delete=current is not None)
    if current is None:
        return Plan(create=True)
    _refuse_repartitioning(current, wanted)
    if wanted.replication_factor not in (None, current.replication_factor):
        raise TopicError(
            f"Topic {wanted.name} has replication_factor {current.replication_factor}, not "
            f"{wanted.replication_factor}. Kafka changes it only by moving replicas: do so with "
            f"kafka-reassign-partitions, or declare replication_factor: {current.replication_factor}."
        )
    grow_to = wanted.partitions if wanted.partitions not in (None, current.partitions) else None
    if wanted.config is None:
        return Plan(grow_to=grow_to)
    return Plan(
        grow_to=grow_to,
        set_config={
            key: value
            for key, value in wanted.config.items()
            if key not in current.config or not same_value(current.config[key], value)
        },
        reset_config=tuple(sorted(current.config.keys() - wanted.config.keys())),
    )


def _refuse_repartitioning(current: Topic, wanted: Wanted) -> None:
    if wanted.partitions in (None, current.partitions):
        return
    has = f"Topic {wanted.name} has {current.partitions} partition(s), not {wanted.partitions}."
    if wanted.cdc:
        raise TopicError(
            f"{has} It carries change events (cdc: true), so the number never changes: with another number a "
            "key's later events would go to another partition than its earlier ones, and readers would see "
            f"them out of order. Declare partitions: {current.partitions}; or start over with a new topic: "
            "change lakehouse_topic_prefix (or delete the topic once all of it is consumed), and let "
            "Debezium take a new snapshot into it."
        )
    if wanted.partitions is not None and wanted.partitions < current.partitions:
        raise TopicError(
            f"{has} Kafka cannot take partitions away. Declare partitions: {current.partitions}, or delete "
            "the topic (state: absent), which loses what is in it, and create it again."
        )


def expected(current: Topic | None, wanted: Wanted, steps: Plan) -> Topic | None:
    """The topic after ``steps``, as far as it can be told without doing them.

    What a new topic leaves to the brokers is shown as -1, which is Kafka's word for it.
    """
    if not wanted.present:
        return None
    if steps.create or current is None:
        return Topic(wanted.partitions or -1, wanted.replication_factor or -1, wanted.config or {})
    kept = {key: value for key, value in current.config.items() if key not in steps.reset_config}
    return Topic(
        steps.grow_to or current.partitions, current.replication_factor, {**kept, **steps.set_config}
    )


def apply(admin: Admin, wanted: Wanted, steps: Plan, *, validate_only: bool = False) -> None:
    """Run ``steps``; with ``validate_only`` have the cluster judge them, and change nothing."""
    if steps.create:
        admin.create(wanted, validate_only=validate_only)
    if steps.grow_to is not None:
        admin.grow(wanted.name, steps.grow_to, validate_only=validate_only)
    if steps.set_config or steps.reset_config:
        admin.configure(wanted.name, steps.set_config, steps.reset_config, validate_only=validate_only)
    if steps.delete and not validate_only:
        admin.delete(wanted.name)


def settle(admin: Admin, wanted: Wanted, timeout: float) -> Topic | None:
    """Wait until the topic is as wanted: brokers learn of a change one after another. Then the topic.

    Raises:
        TopicError: It is not, after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while plan(topic := admin.describe(wanted.name), wanted).changes:
        if time.monotonic() > deadline:
            raise TopicError(
                f"Kafka took the change of topic {wanted.name}, but after {timeout:g} s it is {topic}."
            )
        time.sleep(0.1)
    return topic


class ConfluentAdmin:
    """An :class:`Admin` on a real cluster, through confluent-kafka."""

    def __init__(self, bootstrap_servers: list[str], timeout: float) -> None:
        """Make a client; the first request connects.

        Args:
            bootstrap_servers: ``host:port`` of some brokers of the cluster.
            timeout: Seconds that each request may take. One that does is a :class:`TopicError`.
        """
        from confluent_kafka import KafkaError, KafkaException, admin

        self._lib: Any = admin
        self._failure = KafkaException
        self._unknown_topic = KafkaError.UNKNOWN_TOPIC_OR_PART
        self._timeout = timeout
        silent = logging.getLogger("cdc.lakehouse.kafka_topic")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        self._servers = ", ".join(bootstrap_servers)
        self._client = admin.AdminClient(
            {"bootstrap.servers": ",".join(bootstrap_servers), "client.id": "cdc-lakehouse-kafka-topic"},
            logger=silent,
        )

    def describe(self, name: str) -> Topic | None:
        """See :class:`Admin`."""
        deadline = time.monotonic() + self._timeout
        while (found := self._topics().get(name)) is not None:
            request = self._client.describe_configs([self._resource(name)], request_timeout=self._timeout)
            try:
                entries = self._await(request, name)
            except UnknownTopic:
                # Another broker answers than before, and has not yet learned what was made or removed.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            own = self._lib.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            return Topic(
                partitions=len(found.partitions),
                replication_factor=max((len(p.replicas) for p in found.partitions.values()), default=0),
                config={entry.name: entry.value for entry in entries.values() if entry.source == own},
            )
        return None

    def create(self, wanted: Wanted, *, validate_only: bool) -> None:
        """See :class:`Admin`."""
        topic = self._lib.NewTopic(
            wanted.name,
            num_partitions=wanted.partitions or -1,
            replication_factor=wanted.replication_factor or -1,
            config=dict(wanted.config or {}),
        )
        self._await(
            self._client.create_topics([topic], validate_only=validate_only, **self._timeouts()), wanted.name
        )

    def grow(self, name: str, partitions: int, *, validate_only: bool) -> None:
        """See :class:`Admin`."""
        more = self._lib.NewPartitions(name, partitions)
        self._await(
            self._client.create_partitions([more], validate_only=validate_only, **self._timeouts()), name
        )

    def configure(
        self, name: str, values: Mapping[str, str], reset: tuple[str, ...], *, validate_only: bool
    ) -> None:
        """See :class:`Admin`."""
        operation = self._lib.AlterConfigOpType
        resource = self._resource(name)
        for key, value in values.items():
            resource.add_incremental_config(
                self._lib.ConfigEntry(key, value, incremental_operation=operation.SET)
            )
        for key in reset:
            resource.add_incremental_config(
                self._lib.ConfigEntry(key, None, incremental_operation=operation.DELETE)
            )
        self._await(
            self._client.incremental_alter_configs(
                [resource], validate_only=validate_only, request_timeout=self._timeout
            ),
            name,
        )

    def delete(self, name: str) -> None:
        """See :class:`Admin`."""
        self._await(self._client.delete_topics([name], **self._timeouts()), name)

    def _topics(self) -> Any:
        # All of them: asking for one name would create it where brokers create topics on demand.
        try:
            return self._client.list_topics(timeout=self._timeout).topics
        except self._failure as error:
            raise TopicError(
                f"No Kafka broker answered at {self._servers} within {self._timeout:g} s "
                f"({error.args[0].str()}). Check bootstrap_servers, and that the service runs and its port "
                "can be reached from here; a slow broker may need a greater timeout."
            ) from error

    def _resource(self, name: str) -> Any:
        return self._lib.ConfigResource(self._lib.ConfigResource.Type.TOPIC, name)

    def _timeouts(self) -> dict[str, float]:
        return {"request_timeout": self._timeout, "operation_timeout": self._timeout}

    def _await(self, futures: dict[Any, Any], name: str) -> Any:
        (future,) = futures.values()
        try:
            return future.result()
        except self._failure as error:
            kind = UnknownTopic if error.args[0].code() == self._unknown_topic else TopicError
            raise kind(f"Kafka refused the request for topic {name}: {error.args[0].str()}") from error
