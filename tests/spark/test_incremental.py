"""Gold by partial aggregates: what changes fold into is what a full computation gives."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lakehouse import config, incremental, values
from lakehouse.config import Column, Config, Table
from lakehouse.incremental import Changed, Incremental
from lakehouse.models import Model
from lakehouse.partials import PartialsError
from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

Row = tuple[Any, ...]
Rows = dict[Row, Row]
"""Rows of a table, by their keys."""

KINDS = {
    "orders": {
        "id": "bigint",
        "customer": "int",
        "status": "string",
        "amount": "decimal(12,2)",
        "at": "timestamp",
    },
    "items": {
        "order_id": "bigint",
        "line": "int",
        "product": "int",
        "quantity": "smallint",
        "Price": "decimal(30,4)",
    },
    "products": {
        "id": "int",
        "name": "string",
        "gone": "boolean",
        "since": "date",
        "seen": "timestamp_ntz",
    },
}
KEYS = {"orders": ("id",), "items": ("order_id", "line"), "products": ("id",)}
MODELS = {
    "plain": (
        ("status",),
        "SELECT status, count(*) AS n, count(amount) AS a, sum(amount) AS s, avg(amount) AS m, "
        "min(amount) AS l, max(at) AS last, count(DISTINCT customer) AS c, avg(customer) AS d, "
        "sum(customer) + 1 AS e FROM {orders} GROUP BY status",
    ),
    "filtered": (
        ("day", "customer"),
        "SELECT date(at) AS day, customer, sum(amount) FILTER (WHERE status = 'paid') AS s, "
        "cast(count_if(status <> 'paid') / count(*) AS decimal(5, 4)) AS share FROM {orders} "
        "WHERE amount > 1 GROUP BY 1, 2 HAVING count(*) > 1 OR max(status) = 'paid'",
    ),
    "joined": (
        ("product",),
        "SELECT i.product, count(DISTINCT o.id) AS n, sum(i.quantity * i.price) AS s, min(o.status) AS l "
        "FROM {items} i JOIN {orders} o ON o.id = i.order_id AND o.status <> 'void' GROUP BY i.product",
    ),
    "three": (
        ("name",),
        "SELECT p.name, count(*) AS n, max(p.since) AS since, min(p.seen) AS seen, sum(o.amount) AS s "
        "FROM {orders} o "
        "JOIN {items} i ON o.id = i.order_id JOIN {products} p ON p.id = i.product WHERE NOT p.gone "
        "GROUP BY p.name",
    ),
    "outer": (
        ("customer",),
        "SELECT customer, count(*) AS n, count(line) AS lines, count_if(name IS NULL) AS unknown, "
        "sum(quantity) AS q FROM {orders} o LEFT JOIN {items} ON order_id = o.id "
        "LEFT JOIN {products} p ON p.id = product GROUP BY customer",
    ),
    "means": (
        ("customer",),
        "SELECT customer, avg(cast(amount AS decimal(10, 2))) AS m, "
        "avg(cast(amount AS decimal(11, 3))) AS n, avg(customer) AS c, count(split(status, 'a')) AS texts, "
        "count(DISTINCT status) AS different FROM {orders} GROUP BY customer",
    ),
    "together": (
        ("k",),
        "SELECT k, max(name) AS name, sum(n) AS n, count(n) AS c, min(n) AS l, min(gone) AS gone FROM ("
        "SELECT id AS k, name, 0 AS n, gone FROM {products} UNION ALL "
        "SELECT product, NULL, quantity, NULL FROM {items} i JOIN {orders} o ON i.order_id = o.id UNION ALL "
        "SELECT customer, NULL, 1, NULL FROM {orders}) GROUP BY k",
    ),
}


class Maintained:
    """A model over tables that are set from Python, and its rows as they follow from their changes."""

    def __init__(self, spark: SparkSession, folder: Path, name: str) -> None:
        keys, query = MODELS[name]
        self.spark = spark
        read = [table for table in KINDS if f"{{{table}}}" in query]
        self.model = Model(name, "", keys, query, dict.fromkeys(read, "SELECT 1"))
        self.config = Config(
            storage=f"file://{folder}",
            kafka=config.Kafka("none:9092", "cdc"),
            source=config.Source("7", 1),
            tables=tuple(
                Table(f"public.{table}", KEYS[table], (Column("x", "text"),), ()) for table in KINDS
            ),
            triggers=config.Triggers(),
            gold_models=folder,
            status_file=folder / "status.json",
            state=folder / "state",
        )
        self.tables: dict[str, Rows] = {table: {} for table in read}
        self.rows: dict[Row, Row] = {}
        self.version = 0
        self.open()

    def open(self) -> None:
        found = Incremental.of(
            self.spark, self.config, self.model, {name: KINDS[name] for name in self.tables}, {}
        )
        assert found is not None
        self.incremental = found

    @property
    def versions(self) -> dict[str, int]:
        return dict.fromkeys(self.tables, self.version)

    def build(self) -> None:
        self.incremental.build(self.current(), self.versions, self.versions)
        self.rows = self.by_key(self.computed())

    def current(self) -> dict[str, DataFrame]:
        found = {}
        for name, rows in self.tables.items():
            given = self.spark.createDataFrame(arrow(name, list(rows.values())))
            found[name] = given.selectExpr(
                *(f"CAST({column} AS {kind}) AS {column}" for column, kind in KINDS[name].items())
            )
        return found

    def computed(self) -> pa.Table:
        sources: dict[str, Any] = self.current()
        return self.spark.sql(self.model.query, **sources).dropna(subset=list(self.model.keys)).toArrow()

    def by_key(self, rows: pa.Table) -> dict[Row, Row]:
        return {tuple(row[key] for key in self.model.keys): tuple(row.items()) for row in rows.to_pylist()}

    def change(self, tables: Mapping[str, Rows]) -> None:
        changes = {}
        for name, rows in tables.items():
            old = self.tables[name]
            gone = [row for key, row in old.items() if rows.get(key) != row]
            came = [row for key, row in rows.items() if old.get(key) != row]
            changes[name] = Changed(arrow(name, gone), arrow(name, came))
        self.version += 1
        self.tables |= tables
        with self.incremental.fold(changes, self.versions, lambda: self.versions) as (keys, rows):
            for key in keys.to_pylist():
                self.rows.pop(tuple(key[name] for name in self.model.keys), None)
            self.rows |= self.by_key(rows)


def arrow(name: str, rows: list[Row]) -> pa.Table:
    kinds = KINDS[name]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    return pa.table(
        {
            column: values.to_arrow(list(found), values.arrow_type(kind))
            for (column, kind), found in zip(kinds.items(), columns, strict=True)
        }
    )


def some_rows(dice: random.Random, name: str) -> Rows:
    def maybe(value: Any) -> Any:
        return value if dice.random() < 0.85 else None

    def row(number: int) -> Row:
        if name == "orders":
            at = 1_772_000_000_000_000 + dice.randrange(3) * 86_400_000_000
            status = maybe(dice.choice(["paid", "void", "é", "\U0001f600", ""]))
            return (
                number,
                maybe(dice.randrange(3)),
                status,
                maybe(dice.choice(["0.05", "-9.99", "10.00"])),
                maybe(at),
            )
        if name == "items":
            price = maybe(dice.choice(["0.0001", "99999999999999999999999999.9999", "-1.5000"]))
            return number // 2, number % 2, maybe(dice.randrange(4)), maybe(dice.randrange(-3, 4)), price
        return (
            number,
            maybe(dice.choice(["a", "b"])),
            maybe(dice.randrange(2)),
            maybe(20_000 + dice.randrange(3)),
            maybe(1_772_000_000_000_000 + dice.randrange(3)),
        )

    found = [row(number) for number in range(14) if dice.random() < 0.7]
    return {row[: len(KEYS[name])]: row for row in found}


def changed_rows(dice: random.Random, name: str, rows: Rows) -> Rows:
    """With about a third of the rows as others, gone or new."""
    fresh = some_rows(dice, name)
    keys = rows.keys() | fresh.keys()
    chosen = {key: fresh.get(key) if dice.random() < 0.35 else rows.get(key) for key in sorted(keys)}
    return {key: row for key, row in chosen.items() if row is not None}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("turns", [4, pytest.param(40, marks=pytest.mark.long)])
def test_changes_fold_into_what_a_full_computation_gives(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, turns: int
) -> None:
    monkeypatch.setattr(incremental, "_PART_ROWS", 10)
    monkeypatch.setattr(incremental, "_SLICE", 2)
    dice = random.Random(f"{name} {turns}")
    kept = Maintained(spark, tmp_path, name)
    kept.tables = {table: some_rows(dice, table) for table in kept.tables}
    kept.build()
    for turn in range(turns):
        touched = [table for table in kept.tables if dice.random() < 0.7] or list(kept.tables)
        kept.change({table: changed_rows(dice, table, kept.tables[table]) for table in touched})
        assert kept.rows == kept.by_key(kept.computed()), turn
        if turn % 3 == 1:
            kept.incremental.close()
            kept.open()
            assert kept.incremental.versions == kept.versions


def test_nothing_is_kept_of_a_fold_whose_commit_failed(spark: SparkSession, tmp_path: Path) -> None:
    kept = Maintained(spark, tmp_path, "joined")
    dice = random.Random(1)
    kept.tables = {table: some_rows(dice, table) for table in kept.tables}
    kept.build()
    changed = {"items": changed_rows(dice, "items", kept.tables["items"])}
    gone = arrow("items", list(kept.tables["items"].values()))
    with (
        pytest.raises(OSError),
        kept.incremental.fold({"items": Changed(gone, gone.slice(0, 0))}, {"items": 9}, dict),
    ):
        raise OSError
    assert kept.incremental.versions == kept.versions
    kept.change(changed)
    assert kept.rows == kept.by_key(kept.computed())


def test_a_row_that_went_and_was_never_there_is_noticed(spark: SparkSession, tmp_path: Path) -> None:
    """As when the store is of another time than the table."""
    for name, table in (("joined", "items"), ("plain", "orders")):
        kept = Maintained(spark, tmp_path / name, name)
        kept.build()
        gone = arrow(table, list(some_rows(random.Random(2), table).values()))
        with (
            pytest.raises(PartialsError),
            kept.incremental.fold({table: Changed(gone, gone.slice(0, 0))}, {}, dict),
        ):
            pass


def test_sums_beyond_what_sqlite_adds_stay_exact(spark: SparkSession, tmp_path: Path) -> None:
    kept = Maintained(spark, tmp_path, "joined")
    kept.tables["orders"] = {(1,): (1, 1, "paid", "1.00", 0)}
    kept.build()
    price = "99999999999999999999999999.9999"
    for line in range(3):
        kept.change({"items": {(1, n): (1, n, 1, 3, price) for n in range(line + 1)}})
    assert dict(kept.rows[1,])["s"] == Decimal("899999999999999999999999999.9991")
    assert kept.rows == kept.by_key(kept.computed())


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("SELECT status, sum(amount) AS s FROM {orders} GROUP BY status", {"amount": "double"}),
        ("SELECT status, avg(id) AS s FROM {orders} GROUP BY status", {}),
        ("SELECT cast(customer AS tinyint) AS status, count(*) AS n FROM {orders} GROUP BY 1", {}),
        ("SELECT status, max(hash(*)) AS n FROM {orders} GROUP BY status", {}),
        ("SELECT status, count(* EXCEPT (amount)) AS n FROM {orders} GROUP BY status", {}),
        ("SELECT o.status, count(*) AS n FROM {orders} o JOIN {items} ON amount = price GROUP BY 1", {}),
        ("SELECT o.status, count(*) AS n FROM {orders} o JOIN {items} ON status = order_id GROUP BY 1", {}),
        (f"SELECT {'trim(' * 300}status{')' * 300} AS status, count(*) AS n FROM {{orders}} GROUP BY 1", {}),
    ],
)
def test_what_partial_aggregates_could_give_otherwise_is_not_kept(
    spark: SparkSession, tmp_path: Path, query: str, kinds: dict[str, str]
) -> None:
    kept = Maintained(spark, tmp_path, "plain")
    read = [table for table in KINDS if f"{{{table}}}" in query]
    model = Model("plain", "", ("status",), query, dict.fromkeys(read, "SELECT 1"))
    types = {name: KINDS[name] | (kinds if name == "orders" else {}) for name in read}
    assert Incremental.of(spark, kept.config, model, types, {}) is None


def test_means_are_rounded_as_spark_rounds_them(spark: SparkSession, tmp_path: Path) -> None:
    """By doubles, when the decimals are short."""
    kept = Maintained(spark, tmp_path, "means")
    kept.build()
    for cents in range(90, 100):
        amounts = ["0.00"] * 159 + [f"0.{cents}"]
        kept.change({"orders": {(n,): (n, 1, "a", amount, 0) for n, amount in enumerate(amounts)}})
        assert kept.rows == kept.by_key(kept.computed()), cents


def test_a_store_is_of_the_columns_in_their_order(spark: SparkSession, tmp_path: Path) -> None:
    kept = Maintained(spark, tmp_path, "joined")
    kept.build()
    kept.incremental.close()
    kinds = {name: KINDS[name] for name in kept.tables}
    kinds["items"] = dict(reversed(kinds["items"].items()))
    found = Incremental.of(spark, kept.config, kept.model, kinds, {})
    assert found is not None
    assert not found.versions
