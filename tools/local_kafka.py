"""One Kafka broker on loopback, from the locked jars."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tools import local_spark

_START_WITHIN = 60

_SETTINGS = """
process.roles=broker,controller
node.id=1
log.dirs={folder}/data
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
log.cleaner.dedupe.buffer.size=16777216
"""


class Broker:
    """A running broker."""

    def __init__(self, address: str, process: int) -> None:
        self.address = address
        self.process = process
        self._client: dict[str, str | int | float | bool] = {"bootstrap.servers": address, "log_level": 2}
        self._admin = AdminClient(self._client)  # has to live until what it was asked is done
        # One for all: a new one first waits half a second for what it knows of the topic.
        self._producer = Producer(
            self._client | {"enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
        )

    def create_topic(self, name: str) -> None:
        """Creates a topic of one partition."""
        self._admin.create_topics([NewTopic(name, 1, 1)])[name].result(_START_WITHIN)

    def send(self, topic: str, records: Iterable[tuple[Any, Any]]) -> None:
        """Appends records, each a key and a value; returns when the broker has them."""
        for key, value in records:
            self._producer.produce(topic, key=key, value=value)
        assert self._producer.flush(_START_WITHIN) == 0, "the broker did not take the records"


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """Runs a broker whose data are in a folder."""
    port, controller_port = _free_ports(2)
    settings = folder / "server.properties"
    settings.write_text(
        _SETTINGS.format(folder=folder, port=port, controller_port=controller_port), encoding="utf-8"
    )
    java = [
        "java",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        ":".join(map(str, local_spark.jars("kafka"))),
    ]
    format_storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", "q1Sh-9_ISia_zwGINzRvyQ"]
    subprocess.run(  # noqa: S603
        [*java, *format_storage, "-c", str(settings)], check=True, capture_output=True
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [*java, "kafka.Kafka", str(settings)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        address = f"127.0.0.1:{port}"
        try:
            AdminClient({"bootstrap.servers": address, "log_level": 2}).list_topics(timeout=_START_WITHIN)
        except KafkaException as error:
            raise AssertionError((folder / "log").read_text(encoding="utf-8")[-3000:]) from error
        yield Broker(address, process.pid)
    finally:
        process.terminate()
        process.wait(_START_WITHIN)


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(server.getsockname()[1]) for server in taken]
    finally:
        for server in taken:
            server.close()
