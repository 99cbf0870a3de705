"""Sends a shop's changes to Kafka at a steady rate; in a process of its own, as the source is elsewhere."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice, repeat

from confluent_kafka import Producer

from benchmarks.shop import Change, Shop

_TICK = 0.01


class Traffic:
    """A shop whose changes go to Kafka."""

    def __init__(self, process: ProcessPoolExecutor, address: str, shop: Shop) -> None:
        self.shop = shop
        self._process = process
        self._address = address

    def start(self, rate: float, seconds: float) -> Future[Shop]:
        """Begins to send so many changes a second; the result is the shop as it is afterwards."""
        return self._process.submit(send, self._address, self.shop, rate, seconds)


@contextmanager
def traffic(address: str, shop: Shop) -> Iterator[Traffic]:
    """A process that sends a shop's changes."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield Traffic(process, address, shop)


def send(address: str, shop: Shop, rate: float, seconds: float) -> Shop:
    """Sends changes that are committed as they are sent, for so long; gives the shop back.

    Raises:
        RuntimeError: Kafka did not take them, or they could not be made that fast.
    """
    producer = Producer({"bootstrap.servers": address, "linger.ms": 1, "log_level": 2})
    changes = _changes(shop)
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(rate * passed) - sent
        for topic, key, value in told(shop, islice(changes, due)):
            producer.produce(topic, key=key, value=value)
        sent += due
        producer.poll(0)
        time.sleep(_TICK)
    if producer.flush(30):
        raise RuntimeError("Kafka did not take all changes within 30 s")
    if (late := time.monotonic() - began - seconds) > 1:
        raise RuntimeError(f"{rate:.0f} changes a second could not be sent: {late:.1f} s late")
    return shop


def told(shop: Shop, changes: Iterator[Change]) -> Iterator[tuple[str, bytes, bytes]]:
    """The records of changes that are committed now: topic, key, value."""
    now = time.time_ns() // 1000
    records = shop.records((name, op, row, now) for name, op, row, _ in changes)
    return zip(*(records[name].to_pylist() for name in ("topic", "key", "value")), strict=True)


def _changes(shop: Shop) -> Iterator[Change]:
    return chain.from_iterable(shop.batch() for _ in repeat(None))
