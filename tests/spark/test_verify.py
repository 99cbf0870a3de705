"""verify finds a fault that was planted in any layer, names it, and is silent without one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lakehouse.config import Kafka
from lakehouse.kafka import describe
from lakehouse_verify import bronze, history
from lakehouse_verify import kafka as verify_kafka
from lakehouse_verify.bronze import Extent
from lakehouse_verify.finding import Finding
from lakehouse_verify.rows import Column, Reader, RunSql, Spark, Table, column_types, differing_keys
from pyspark.sql import SparkSession

from tools.local_kafka import Broker

pytestmark = pytest.mark.slow

TOPIC = "cdc.public.orders"
ORDERS = Table("public.orders", (Column("order_id", "bigint"), Column("status", "text")), ("order_id",))
EVENTS = "epoch string, topic string, `partition` int, `offset` bigint, op string, value string"
POSITION = "struct<epoch: string, partition: int, offset: bigint>"
HISTORY = (
    "order_id bigint, status string, valid_from timestamp, valid_to timestamp, is_current boolean, "
    "version int, "
    f"valid_from_position {POSITION}, valid_to_position {POSITION}"
)


@pytest.fixture
def run_sql(spark: SparkSession, tmp_path: Path) -> Iterator[RunSql]:
    """Queries against databases named as in the catalog, empty at the start of each test."""
    for database in ("bronze", "silver"):
        spark.sql(f"create database {database} location '{tmp_path}/{database}'")
    yield lambda query: [tuple(row) for row in spark.sql(query).collect()]
    for database in ("bronze", "silver"):
        spark.sql(f"drop database {database} cascade")


def event(offset: int, op: str = "u", epoch: str = "e1", snapshot: str = "false") -> tuple[Any, ...]:
    return (epoch, TOPIC, 0, offset, op, json.dumps({"source": {"snapshot": snapshot}}))


def version(number: int, began: int, ended: int | None, key: int = 1) -> tuple[str, ...]:
    """A version that began and ended with the events at two offsets; an offset is its own time, too."""

    def at(offset: int | None) -> str:
        return "null" if offset is None else f"timestamp_seconds({offset})"

    def position(offset: int | None) -> str:
        return (
            "null" if offset is None else f"named_struct('epoch', 'e1', 'partition', 0, 'offset', {offset}L)"
        )

    current = "true" if ended is None else "false"
    return (str(key), "'paid'", at(began), at(ended), current, str(number), position(began), position(ended))


def literal(value: Any) -> str:
    """A Python value as SQL."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value).lower()


def store(spark: SparkSession, name: str, schema: str, rows: list[tuple[Any, ...]]) -> None:
    """A relation of that name with these rows. A view: writing tables would make the tests slow."""
    values = " union all ".join(f"select {', '.join(map(literal, row))}" for row in rows)
    store_sql(spark, name, schema, values)


def store_history(spark: SparkSession, *rows: tuple[str, ...]) -> None:
    """The history of orders, from rows of SQL expressions."""
    store_sql(
        spark,
        "silver.orders_history",
        HISTORY,
        " union all ".join(f"select {', '.join(row)}" for row in rows),
    )


def store_sql(spark: SparkSession, name: str, schema: str, query: str) -> None:
    """A view whose columns have the names and types of a schema."""
    fields = spark.createDataFrame([], schema).schema.fields
    typed = ", ".join(
        f"cast(`{field.name}` as {field.dataType.simpleString()}) as `{field.name}`" for field in fields
    )
    names = ", ".join(f"`{field.name}`" for field in fields)
    empty = f"select {', '.join('null' for _ in fields)}"
    rows = query or f"select * from ({empty}) where false"
    spark.sql(f"create view {name} as with given({names}) as ({rows}) select {typed} from given")


def said(findings: list[Finding]) -> dict[str, int]:
    return {finding.check: finding.differences for finding in findings if finding.differences}


class TestBronze:
    extents: ClassVar = {(TOPIC, 0): Extent(0, 4, "e1")}

    def test_each_offset_once(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(spark, "bronze.change_events", EVENTS, [event(offset) for offset in range(4)])
        counts, findings = bronze.check(run_sql, self.extents)
        assert (counts, said(findings)) == (Counter({TOPIC: 4}), {})

    def test_a_doubled_row_is_named(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(spark, "bronze.change_events", EVENTS, [event(offset) for offset in (0, 1, 2, 2, 3)])
        once, complete = bronze.check(run_sql, self.extents)[1]
        assert (once.differences, once.examples) == (1, ["cdc.public.orders-0 offset 2: 2 times"])
        assert complete.differences == 0

    @pytest.mark.parametrize(
        ("held", "lost", "example"),
        [
            ((0, 3), 2, "cdc.public.orders-0 offsets 1 to 2"),
            ((2, 3), 2, "cdc.public.orders-0 offsets 0 to 1"),
            ((0, 1), 2, "cdc.public.orders-0 offsets 2 to 3"),
            ((0, 1, 2), 1, "cdc.public.orders-0 offset 3"),
            ((), 4, "cdc.public.orders-0 offsets 0 to 3"),
        ],
    )
    @pytest.mark.parametrize("begin", [0, 4], ids=["Kafka has all", "Kafka has nothing any more"])
    def test_a_lost_row_is_named(
        self, spark: SparkSession, run_sql: RunSql, held: tuple[int, ...], lost: int, example: str, begin: int
    ) -> None:
        store(spark, "bronze.change_events", EVENTS, [event(offset) for offset in held])
        once, complete = bronze.check(run_sql, {(TOPIC, 0): Extent(begin, 4, "e1")})[1]
        assert (complete.differences, complete.examples) == (lost, [example])
        assert once.differences == 0

    def test_a_topic_without_events_misses_none(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(spark, "bronze.change_events", EVENTS, [])
        assert said(bronze.check(run_sql, {(TOPIC, 0): Extent(0, 0, "e1")})[1]) == {}

    def test_what_was_trimmed_and_kafka_has_dropped_is_not_missed(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        old = [event(1, epoch="1/s/1/topic"), event(2, epoch="1/s/1/topic")]
        store(spark, "bronze.change_events", EVENTS, [*old, event(5, epoch="2/s/2/topic")])
        spark.sql(f"alter view bronze.change_events set tblproperties ('{bronze.TRIMMED}' = '1')")
        assert said(bronze.check(run_sql, {(TOPIC, 0): Extent(5, 6, "topic")})[1]) == {}
        (_, complete) = bronze.check(run_sql, {(TOPIC, 0): Extent(6, 7, "topic")})[1]
        assert complete.examples == ["cdc.public.orders-0 offset 6"]

    def test_a_row_that_is_lost_between_two_epochs_is_named(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        events = [event(0, epoch="1/s/1/topic"), event(1, epoch="1/s/1/topic"), event(3, epoch="2/s/2/topic")]
        store(spark, "bronze.change_events", EVENTS, events)
        (_, complete) = bronze.check(run_sql, {(TOPIC, 0): Extent(3, 4, "topic")})[1]
        assert (complete.differences, complete.examples) == (1, ["cdc.public.orders-0 offset 2"])

    def test_what_bronze_has_of_the_topic_before_this_one_does_not_count(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        before = [event(offset) for offset in range(4)]
        store(spark, "bronze.change_events", EVENTS, [*before, event(0, epoch="e2")])
        (_, complete) = bronze.check(run_sql, {(TOPIC, 0): Extent(0, 3, "e2")})[1]
        assert complete.examples == ["cdc.public.orders-0 offsets 1 to 2"]


def test_kafka_tells_of_a_topic_what_bronze_notes_of_it(spark: SparkSession, kafka: Broker) -> None:
    names = [f"cdc.public.t{number}" for number in range(5)]
    for name in names:
        kafka.create_topic(name)
    kafka.send(names[0], [(b"k", b"v")] * 3)
    found = verify_kafka.extents({"bootstrap.servers": kafka.address}, [*names, "cdc.public.none"])
    known = describe(spark, Kafka(kafka.address, "cdc"), names)
    assert found == {
        (name, 0): Extent(topic.earliest[0], topic.latest[0], topic.id) for name, topic in known.items()
    }
    assert found[names[0], 0].end == 3


class TestHistory:
    @pytest.fixture(autouse=True)
    def events(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(
            spark,
            "bronze.change_events",
            EVENTS,
            [
                *(event(offset, "d" if offset == 7 else "u") for offset in range(10)),
                event(10, "r", snapshot="true"),
                event(11, "r", snapshot="last"),
            ],
        )

    def test_a_sound_history_with_a_delete(self, spark: SparkSession, run_sql: RunSql) -> None:
        store_history(spark, version(1, 1, 2), version(2, 2, 7), version(3, 9, None), version(1, 3, 7, key=2))
        counts, findings = history.check(run_sql, ORDERS, TOPIC)
        assert said(findings) == {}
        assert counts == Counter(versions=4, open=1)

    def test_the_end_of_a_snapshot_ends_what_it_does_not_have(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        store_history(spark, version(1, 1, 11), version(1, 3, 11, key=2))
        assert said(history.check(run_sql, ORDERS, TOPIC)[1]) == {}

    def test_what_ended_before_the_events_that_bronze_keeps_is_believed(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        spark.sql("drop view bronze.change_events")
        store(spark, "bronze.change_events", EVENTS, [event(8), event(9)])
        store_history(spark, version(1, 1, 7), version(2, 8, None))
        assert said(history.check(run_sql, ORDERS, TOPIC)[1]) == {}

    @pytest.mark.parametrize(
        ("rows", "rule"),
        [
            ([version(1, 1, None), version(2, 2, None)], "at most one open version"),
            ([version(1, 1, 2), version(3, 2, None)], "versions count from 1"),
            ([version(1, 1, 2), version(1, 1, 2), version(2, 2, None)], "versions count from 1"),
            ([version(1, 5, 9), version(2, 2, None)], "in the order of the commits"),
            ([version(1, 1, 5), version(2, 2, None)], "no overlap"),
            ([version(1, 1, 2), version(2, 5, None)], "no gap but after a delete"),
            ([version(1, 1, 5)], "no gap but after a delete"),
            ([version(1, 1, 10)], "no gap but after a delete"),
        ],
    )
    def test_a_fault_is_named(
        self, spark: SparkSession, run_sql: RunSql, rows: list[tuple[str, ...]], rule: str
    ) -> None:
        store_history(spark, version(1, 1, 2, key=2), version(2, 2, None, key=2), *rows)
        found = {finding.check: finding for finding in history.check(run_sql, ORDERS, TOPIC)[1]}
        assert found[rule].differences > 0
        assert all(example.startswith("order_id=1 version") for example in found[rule].examples)

    def test_a_version_that_is_current_and_ended_is_named(self, spark: SparkSession, run_sql: RunSql) -> None:
        key, status, began, ended, _, *rest = version(1, 1, 7)
        store_history(spark, (key, status, began, ended, "true", *rest))
        assert said(history.check(run_sql, ORDERS, TOPIC)[1]) == {"open until it ends": 1}

    def test_a_version_that_ends_at_another_time_than_the_next_begins_is_named(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        key, status, began, _, *rest = version(1, 1, 2)
        store_history(spark, (key, status, began, "timestamp_seconds(99)", *rest), version(2, 2, None))
        assert said(history.check(run_sql, ORDERS, TOPIC)[1]) == {"ends when the next begins": 1}

    def test_a_key_may_have_any_name(self, spark: SparkSession, run_sql: RunSql) -> None:
        name = "it's.`a"
        store_history(spark, version(1, 1, None), version(2, 2, None))
        renamed = f"select order_id as {Spark().name(name)}, * except (order_id) from silver.orders_history"
        spark.sql(f"create view silver.odd_history as {renamed}")
        _, findings = history.check(run_sql, Table("public.odd", (Column(name, "bigint"),), (name,)), TOPIC)
        examples = {finding.check: finding.examples for finding in findings}
        assert examples["at most one open version"] == [f"{name}=1 version 1", f"{name}=1 version 2"]


class TestRows:
    columns = (Column("order_id", "bigint"), Column("status", "string"))

    def reader(self, run_sql: RunSql, name: str) -> Reader:
        return Reader(run_sql, Spark(), f"silver.{name}", self.columns, self.columns[:1])

    @pytest.mark.parametrize(
        ("silver", "keys"),
        [
            ([(1, "paid"), (2, None), (3, "")], set()),
            ([(1, "paid"), (3, "")], {"1:2"}),
            ([(1, "paid"), (2, None), (3, ""), (4, "paid")], {"1:4"}),
            ([(1, "paid"), (2, None), (3, ""), (3, "")], {"1:3"}),
            ([(1, "placed"), (2, ""), (3, None)], {"1:1", "1:2", "1:3"}),
        ],
    )
    def test_keys_that_differ(
        self, spark: SparkSession, run_sql: RunSql, silver: list[tuple[int, str]], keys: set[str]
    ) -> None:
        store(spark, "silver.source", "order_id bigint, status string", [(1, "paid"), (2, None), (3, "")])
        store(spark, "silver.orders", "order_id bigint, status string", silver)
        left, right = self.reader(run_sql, "source"), self.reader(run_sql, "orders")
        assert differing_keys(left, right, left.digests(), right.digests()) == keys

    def test_floating_point_numbers_are_their_bits_and_may_be_null(
        self, spark: SparkSession, run_sql: RunSql
    ) -> None:
        columns = (Column("id", "bigint"), Column("d", "double"), Column("f", "float"))
        numbers = "(1, 1.5D, -0.0F), (2, null, null), (3, cast('NaN' as double), cast('-Infinity' as float))"
        store_sql(spark, "silver.numbers", "id bigint, d double, f float", f"values {numbers}")
        reader = Reader(run_sql, Spark(), "silver.numbers", columns, columns[:1])
        assert sum(rows for rows, _ in reader.digests().values()) == 3
        assert reader.rows(["1:1", "1:2", "1:3"]) == {
            "1:1": [("1", "4609434218613702656", "-2147483648")],
            "1:2": [("2", None, None)],
            "1:3": [("3", "9221120237041090560", "-8388608")],
        }

    def test_rows_of_some_keys(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(
            spark,
            "silver.orders",
            "order_id bigint, status string",
            [(1, "it's \\ ü"), (2, None), (2, "x"), (3, "y")],
        )
        assert self.reader(run_sql, "orders").rows(["1:1", "1:2", "1:9"]) == {
            "1:1": [("1", "it's \\ ü")],
            "1:2": [("2", "x"), ("2", None)],
        }

    def test_a_key_of_texts_can_be_asked_for(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(spark, "silver.orders", "order_id string, status string", [("it's \\ ü\n", "a"), ("2:3", "b")])
        columns = (Column("order_id", "string"), Column("status", "string"))
        reader = Reader(run_sql, Spark(), "silver.orders", columns, columns)
        keys = reader.hashes(range(1024)).keys()
        assert reader.rows(keys).keys() == keys
        assert len(keys) == 2

    def test_a_column_may_be_called_like_a_heading(self, spark: SparkSession, run_sql: RunSql) -> None:
        store(spark, "silver.orders", "`#` bigint, `#x` string", [(1, "a")])
        assert column_types(run_sql, "silver.orders") == {"#": "bigint", "#x": "string"}
