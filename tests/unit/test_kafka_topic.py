"""What kafka_topic decides, against a cluster made of a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.cdc.lakehouse.plugins.module_utils.kafka_topic import (
    ConfluentAdmin,
    Plan,
    Topic,
    TopicError,
    Wanted,
    apply,
    config_text,
    expected,
    plan,
    settle,
)

ORDERS = Topic(partitions=1, replication_factor=1, config={"retention.ms": "1000"})


@dataclass
class FakeCluster:
    """An Admin whose brokers default to one partition and one replica."""

    topics: dict[str, Topic] = field(default_factory=dict)
    judged: int = 0

    def describe(self, name: str) -> Topic | None:
        return self.topics.get(name)

    def create(self, wanted: Wanted, *, validate_only: bool) -> None:
        topic = Topic(wanted.partitions or 1, wanted.replication_factor or 1, wanted.config or {})
        self._put(wanted.name, topic, validate_only)

    def grow(self, name: str, partitions: int, *, validate_only: bool) -> None:
        self._put(name, replace(self.topics[name], partitions=partitions), validate_only)

    def configure(
        self, name: str, values: Mapping[str, str], reset: tuple[str, ...], *, validate_only: bool
    ) -> None:
        kept = {k: v for k, v in self.topics[name].config.items() if k not in reset}
        self._put(name, replace(self.topics[name], config={**kept, **values}), validate_only)

    def delete(self, name: str) -> None:
        del self.topics[name]

    def _put(self, name: str, topic: Topic, validate_only: bool) -> None:
        if validate_only:
            self.judged += 1
        else:
            self.topics[name] = topic


def bring(cluster: FakeCluster, wanted: Wanted, *, check: bool = False) -> Plan:
    """One run of the module."""
    steps = plan(cluster.describe(wanted.name), wanted)
    apply(cluster, wanted, steps, validate_only=check)
    return steps


CASES = [
    pytest.param(
        None,
        Wanted("t", partitions=3, replication_factor=1, config={"cleanup.policy": "compact"}),
        id="create",
    ),
    pytest.param(ORDERS, Wanted("t", partitions=3), id="grow"),
    pytest.param(ORDERS, Wanted("t", config={"retention.ms": "2000"}), id="another-value"),
    pytest.param(
        ORDERS, Wanted("t", config={"retention.ms": "1000", "segment.ms": "9"}), id="one-more-setting"
    ),
    pytest.param(ORDERS, Wanted("t", config={}), id="setting-made-by-hand"),
    pytest.param(ORDERS, Wanted("t", partitions=2, config={"segment.ms": "9"}), id="all-at-once"),
    pytest.param(ORDERS, Wanted("t", present=False), id="delete"),
]


@pytest.mark.parametrize(("before", "wanted"), CASES)
def test_check_mode_tells_what_the_run_does_and_the_second_run_does_nothing(
    before: Topic | None, wanted: Wanted
) -> None:
    cluster = FakeCluster({"t": before} if before else {})

    announced = bring(cluster, wanted, check=True)
    assert announced.changes
    assert cluster.describe("t") == before
    assert cluster.judged or not wanted.present, "the cluster judges the request in check mode too"

    assert bring(cluster, wanted) == announced
    assert cluster.describe("t") == expected(before, wanted, announced)

    assert not bring(cluster, wanted).changes


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        pytest.param(None, Wanted("t", present=False), id="absent-already"),
        pytest.param(ORDERS, Wanted("t"), id="nothing-asked-for"),
        pytest.param(ORDERS, Wanted("t", partitions=1, replication_factor=1, cdc=True), id="as-declared"),
        pytest.param(ORDERS, Wanted("t", config={"retention.ms": "1000"}), id="same-settings"),
        pytest.param(
            Topic(1, 1, {"min.cleanable.dirty.ratio": "0.5", "cleanup.policy": "compact,delete"}),
            Wanted("t", config={"min.cleanable.dirty.ratio": "0.50", "cleanup.policy": "compact, delete"}),
            id="same-settings-written-otherwise",
        ),
    ],
)
def test_no_change_where_nothing_differs(before: Topic | None, wanted: Wanted) -> None:
    cluster = FakeCluster({"t": before} if before else {})
    assert not bring(cluster, wanted).changes
    assert cluster.describe("t") == before == expected(before, wanted, Plan())


@pytest.mark.parametrize("partitions", [1, 6])
def test_the_partitions_of_a_cdc_topic_never_change(partitions: int) -> None:
    with pytest.raises(TopicError, match="order") as refusal:
        plan(Topic(3, 1), Wanted("cdc.public.orders", partitions=partitions, cdc=True))
    message = str(refusal.value)
    assert "cdc.public.orders" in message
    assert f"not {partitions}" in message
    assert "partitions: 3" in message, "the way out"


def test_fewer_partitions_are_refused() -> None:
    with pytest.raises(TopicError, match=r"cannot take partitions away.*partitions: 3"):
        plan(Topic(3, 1), Wanted("t", partitions=2))


def test_another_replication_factor_is_an_error_with_a_way_out() -> None:
    with pytest.raises(TopicError, match=r"replication_factor 1, not 3.*kafka-reassign-partitions"):
        plan(ORDERS, Wanted("t", replication_factor=3))


class LaggingCluster(FakeCluster):
    """The broker that is asked learns of the topic only after some questions."""

    def __init__(self, topic: Topic, questions: float) -> None:
        super().__init__({"t": topic})
        self.questions = questions

    def describe(self, name: str) -> Topic | None:
        self.questions -= 1
        return super().describe(name) if self.questions < 0 else None


def test_the_run_waits_until_the_brokers_know() -> None:
    assert settle(LaggingCluster(ORDERS, 2), Wanted("t", partitions=1), timeout=30) == ORDERS


def test_a_change_that_never_shows_is_an_error() -> None:
    with pytest.raises(TopicError, match=r"topic t, but after 0\.2 s it is None"):
        settle(LaggingCluster(ORDERS, float("inf")), Wanted("t", partitions=1), timeout=0.2)


def test_what_a_new_topic_leaves_to_the_brokers_is_minus_one() -> None:
    assert expected(None, Wanted("t"), Plan(create=True)) == Topic(-1, -1, {})


def test_settings_become_text() -> None:
    given = {
        "retention.ms": 1000,
        "preallocate": True,
        "min.cleanable.dirty.ratio": 0.5,
        "cleanup.policy": "x",
    }
    assert config_text(given) == {
        "retention.ms": "1000",
        "preallocate": "true",
        "min.cleanable.dirty.ratio": "0.5",
        "cleanup.policy": "x",
    }


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_a_setting_that_is_no_text_is_named(value: object) -> None:
    with pytest.raises(TopicError, match=r"config\.retention\.ms"):
        config_text({"retention.ms": value})


def test_an_unreachable_cluster_names_servers_and_timeout() -> None:
    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2 within 1 s.*bootstrap_servers"):
        ConfluentAdmin(["127.0.0.1:1", "127.0.0.1:2"], timeout=1).describe("t")
