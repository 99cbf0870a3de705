"""Gold: what is refreshed by changed keys is what a full computation gives."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lakehouse import config, delta_io, models, pipeline, requests
from lakehouse.config import Column, Config, Table
from lakehouse.delta_log import TableLog
from lakehouse.gold import Gold, GoldError, GoldModel, Silver, forget
from lakehouse.incremental import Incremental, state_file
from lakehouse.layout import quoted
from lakehouse.status import Status
from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

MODELS = Path(__file__).resolve().parents[2] / "files" / "gold"
TIME = "timestamp with time zone"
Rows = list[tuple[object, ...]]


def table(name: str, key: tuple[str, ...], columns: dict[str, str]) -> Table:
    names = tuple(columns)
    typed = tuple(Column(column, kind) for column, kind in columns.items())
    return Table(f"public.{name}", key, typed, tuple(column for column in names if column not in key))


TABLES = (
    table("customers", ("customer_id",), {"customer_id": "bigint", "country": "text", "created_at": TIME}),
    table(
        "products",
        ("product_id",),
        {
            "product_id": "bigint",
            "sku": "text",
            "name": "text",
            "category": "text",
            "price": "numeric(12,2)",
            "created_at": TIME,
        },
    ),
    table(
        "orders",
        ("order_id",),
        {
            "order_id": "bigint",
            "customer_id": "bigint",
            "status": "text",
            "amount": "numeric(12,2)",
            "created_at": TIME,
        },
    ),
    table(
        "order_items",
        ("order_id", "line_no"),
        {
            "order_id": "bigint",
            "line_no": "integer",
            "product_id": "bigint",
            "quantity": "integer",
            "unit_price": "numeric(12,2)",
        },
    ),
)


class Shop:
    """Silver tables whose current rows are set from Python, and gold on top of them."""

    def __init__(
        self,
        spark: SparkSession,
        folder: Path,
        tables: tuple[Table, ...] = TABLES,
        gold_models: Path = MODELS,
    ) -> None:
        self.spark = spark
        self.config = Config(
            storage=f"file://{folder}",
            kafka=config.Kafka("none:9092", "cdc"),
            source=config.Source("7", 1),
            tables=tables,
            triggers=config.Triggers(),
            gold_models=gold_models,
            status_file=folder / "status.json",
            state=folder / "state",
        )
        pipeline.create_tables(spark, self.config)
        self.restart()

    def restart(self) -> None:
        self.status = Status(("gold",))
        self.gold = Gold(self.spark, self.config, self.status)

    def set(self, name: str, rows: Rows) -> None:
        """Makes these the table's current rows, touching only those that differ."""
        source = self.config.table(name)
        path = self.config.silver_path(source)
        kinds = {
            "bigint": "bigint",
            "integer": "int",
            "text": "string",
            TIME: "string",
            "numeric(12,2)": "decimal(12,2)",
        }
        schema = ", ".join(f"{quoted(column.name)} {kinds[column.type]}" for column in source.columns)
        batch = self.spark.createDataFrame(rows, schema)
        for column in source.columns:
            if column.type == TIME:
                batch = batch.withColumn(column.name, batch[column.name].cast("timestamp"))
        same_key = " AND ".join(f"target.{key} = batch.{key}" for key in map(quoted, source.key))
        columns = [quoted(name) for name in source.column_names]
        differs = " OR ".join(f"NOT target.{column} <=> batch.{column}" for column in columns)
        names, values = ", ".join(columns), ", ".join(f"batch.{column}" for column in columns)
        sets = ", ".join(f"{column} = batch.{column}" for column in columns)
        delta_io.merge(
            self.spark,
            path,
            batch.localCheckpoint(),
            f"{same_key} AND target._head",
            f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {sets} "
            f"WHEN NOT MATCHED THEN INSERT ({names}, is_current, _head) VALUES ({values}, true, true) "
            "WHEN NOT MATCHED BY SOURCE THEN DELETE",
        )

    def refresh(self) -> None:
        assert self.gold.step(threading.Event()), self.status.as_json()["models"]

    def stored(self, model: models.Model) -> DataFrame:
        return self.spark.read.format("delta").load(self.config.gold_path(model.name))

    def computed(self, model: models.Model) -> DataFrame:
        current = {
            name: self.spark.read.format("delta")
            .load(self.config.silver_path(self.config.table(name)))
            .where("_head AND is_current")
            for name in model.sources
        }
        return models.result(self.spark, model, current)

    def check(self) -> None:
        """Every gold table is what a full computation gives."""
        for model in models.load_all(self.config.gold_models):
            stored = self.stored(model)
            computed = self.computed(model).select(*map(quoted, stored.columns))
            assert sorted(map(str, stored.collect())) == sorted(map(str, computed.collect())), model.name


def small_shop(spark: SparkSession, folder: Path) -> Shop:
    """With two models, for what does not depend on which they are."""
    gold_models = folder / "models"
    gold_models.mkdir()
    for name in ("customer_value", "kpis"):
        shutil.copy(MODELS / f"{name}.sql", gold_models)
    return Shop(spark, folder, gold_models=gold_models)


def random_shop(dice: random.Random) -> dict[str, Rows]:
    def at(kind: int) -> str:
        return f"2026-03-{1 + kind % 3:02d} 10:0{kind % 4}:00"

    customers: Rows = [(i, "DE", at(i)) for i in range(4) if dice.random() < 0.9]
    products: Rows = [
        (i, f"S{i}", f"P{i}", "c", Decimal(dice.choice(["1.00", "2.50"])), at(i))
        for i in range(4)
        if dice.random() < 0.9
    ]
    orders: Rows = []
    items: Rows = []
    for order in range(8):
        if dice.random() < 0.8:
            status = dice.choice(["placed", "paid", "delivered", "cancelled", "returned"])
            orders.append((order, order % 4, status, Decimal(dice.choice(["3.10", "7.77"])), at(order)))
            for line in range(2):
                if dice.random() < 0.8:
                    items.append((order, line, (order + line) % 4, dice.randint(1, 3), Decimal("1.25")))
    return {"customers": customers, "products": products, "orders": orders, "order_items": items}


@pytest.fixture
def whole_shop(spark: SparkSession, tmp_path: Path) -> Shop:
    """With every model that the collection brings."""
    return Shop(spark, tmp_path)


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return small_shop(spark, tmp_path)


@pytest.mark.parametrize("turns", [2, pytest.param(6, marks=pytest.mark.long)])
def test_refreshed_by_keys_is_computed_in_full(whole_shop: Shop, turns: int) -> None:
    dice = random.Random(7)
    whole_shop.refresh()
    for turn in range(turns):
        for name, rows in random_shop(dice).items():
            if dice.random() < 0.8:
                whole_shop.set(name, rows)
            if dice.random() < 0.2:
                whole_shop.refresh()  # between the tables of one change: gold sees an order without its items
        if turn == turns - 1:
            whole_shop.restart()
        whole_shop.refresh()
        whole_shop.check()


def test_a_model_that_was_forgotten_is_computed_in_full(shop: Shop) -> None:
    """What somebody planted in a row that no change touches goes."""
    for name, rows in random_shop(random.Random(1)).items():
        shop.set(name, rows)
    shop.refresh()
    model = next(model for model in models.load_all(MODELS) if model.name == "customer_value")
    shop.spark.sql(f"UPDATE delta.`{shop.config.gold_path(model.name)}` SET orders = 77")
    shop.restart()
    shop.refresh()
    assert {row.orders for row in shop.stored(model).collect()} == {77}
    forget(shop.spark, shop.config, model)
    shop.restart()
    shop.refresh()
    shop.check()


def test_models_are_computed_in_full_from_a_silver_table_that_was_made_anew(shop: Shop) -> None:
    """Its versions count from 0 again, and tell nothing of the rows that the models were computed from."""
    shop.set("orders", [(1, 1, "paid", Decimal("3.10"), "2026-03-01 10:00:00")])
    shop.refresh()
    source = shop.config.table("orders")
    path = shop.config.silver_path(source)
    before = delta_io.latest_version(shop.spark, path)
    shutil.rmtree(path.removeprefix("file://"))
    jvm: Any = shop.spark._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # as of a pipeline that starts
    pipeline.create_tables(shop.spark, shop.config)
    shop.set("orders", [(2, 1, "placed", Decimal("7.77"), "2026-03-02 10:00:00")])
    assert delta_io.latest_version(shop.spark, path) == before
    shop.restart()
    shop.refresh()
    shop.check()


@pytest.mark.long
def test_a_model_that_notes_no_silver_tables_is_computed_in_full(shop: Shop) -> None:
    """As one that was computed before they were noted."""
    shop.refresh()
    model = next(model for model in models.load_all(MODELS) if model.name == "kpis")
    stored = TableLog(shop.spark, shop.config.gold_path(model.name))
    stored.note({name: told for name, told in stored.metadata.items() if name != "tables"})
    before = stored.version
    for _ in range(2):
        shop.restart()
        shop.refresh()
    assert stored.version == before + 2  # once: the rows, and what they were computed from


def test_models_are_computed_in_full_when_the_changes_since_then_are_gone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.refresh()
    dice = random.Random(3)
    path = shop.config.silver_path(shop.config.table("orders"))
    monkeypatch.setattr(delta_io.Upkeep, "VERSIONS", 10)
    for _ in range(12):
        shop.set("orders", random_shop(dice)["orders"])
    for second, file in enumerate(sorted(Path(path.removeprefix("file://"), "_delta_log").glob("0*"))):
        os.utime(file, (second, second))
    upkeep = delta_io.Upkeep(shop.spark, path)
    for _ in range(2):  # a checkpoint; what is before it
        upkeep.after_batch()
        delta_io.finish_upkeep()
    assert delta_io.earliest_version(shop.spark, path) > 3
    shop.restart()
    shop.refresh()
    shop.check()


def test_models_are_computed_in_full_when_the_files_of_the_changes_are_gone(shop: Shop) -> None:
    orders = random_shop(random.Random(3))["orders"]
    shop.set("orders", orders)
    shop.refresh()
    shop.set("orders", orders[:1])
    path = shop.config.silver_path(shop.config.table("orders"))
    files = list(Path(path.removeprefix("file://")).glob("_change_data/**/*.parquet"))
    assert files
    for file in files:
        file.unlink()
    shop.restart()
    shop.refresh()
    shop.check()


def test_a_model_follows_the_types_of_silver(whole_shop: Shop) -> None:
    rows = random_shop(random.Random(4))
    for name in rows:
        whole_shop.set(name, rows[name])
    whole_shop.refresh()
    path = whole_shop.config.silver_path(whole_shop.config.table("products"))
    whole_shop.spark.sql(f"ALTER TABLE delta.`{path}` ALTER COLUMN price TYPE decimal(14,4)")
    whole_shop.set("products", [(*row[:4], Decimal("9.99"), row[5]) for row in rows["products"]])
    whole_shop.refresh()
    whole_shop.check()
    for model in models.load_all(MODELS):
        types = [
            {field.name: field.dataType for field in rows.schema}
            for rows in (whole_shop.stored(model), whole_shop.computed(model))
        ]
        assert types[0] == types[1], model.name


def test_the_text_of_a_value_follows_its_type(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    front = {
        "keys": ["price"],
        "changes": {"order_items": "SELECT string(unit_price) AS price FROM {changes}"},
    }
    query = "SELECT string(unit_price) AS price, count(*) AS items FROM {order_items} GROUP BY 1"
    (folder / "by_price.sql").write_text(f"-- {json.dumps(front)}\n{query}")
    shop = Shop(spark, tmp_path, gold_models=folder)
    items: Rows = [(1, line, 7, 1, Decimal("1.50")) for line in range(3)]
    shop.set("order_items", items[:2])
    shop.refresh()
    path = shop.config.silver_path(shop.config.table("order_items"))
    spark.sql(f"ALTER TABLE delta.`{path}` ALTER COLUMN unit_price TYPE decimal(14,4)")
    for restarts in (False, True):
        if restarts:
            shop.restart()
        shop.refresh()
        shop.set("order_items", items)
        shop.refresh()
        shop.check()
    (row,) = shop.stored(models.load_all(folder)[0]).collect()
    assert tuple(row) == ("1.5000", 3)


def test_a_foreign_key_may_have_another_type_than_its_key(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(MODELS / "customer_value.sql", folder)
    narrow = {column.name: column.type for column in TABLES[2].columns} | {"customer_id": "integer"}
    shop = Shop(spark, tmp_path, (*TABLES[:2], table("orders", ("order_id",), narrow), TABLES[3]), folder)
    at = "2026-03-01 10:00:00"
    customers: Rows = [(number, "DE", at) for number in (1, 2, 3_000_000_000)]
    shop.set("customers", customers)
    for amount in ("1.00", "2.00", "3.00", "4.00"):
        shop.set("orders", [(1, 1, "paid", Decimal(amount), at), (2, 2, "paid", Decimal("5.00"), at)])
        if amount == "3.00":
            shop.set("customers", [(number, "FR", at) for number, *_ in customers])
        shop.refresh()
        shop.check()


@pytest.fixture
def by_status(spark: SparkSession, tmp_path: Path) -> Shop:
    """With a model whose partial aggregates are made."""
    folder = tmp_path / "models"
    folder.mkdir()
    front = {"keys": ["status"], "changes": {"orders": "SELECT status FROM {changes}"}}
    query = "SELECT status, sum(amount) AS amount, max(customer_id) AS last FROM {orders} GROUP BY status"
    (folder / "by_status.sql").write_text(f"-- {json.dumps(front)}\n{query}")
    shop = Shop(spark, tmp_path, gold_models=folder)
    for number in range(3):
        shop.set("orders", orders(number))
        shop.refresh()
    return shop


def orders(number: int, amount: str = "3.10", status: str = "paid") -> Rows:
    """A few, of which each number has one more."""
    return [(n, n, status, Decimal(amount), "2026-03-01 10:00:00") for n in range(number + 1)]


def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets a line each time when partial aggregates are made anew."""
    made: list[str] = []
    build = Incremental.build

    def noted(*given: Any) -> None:
        made.append("built")
        build(*given)

    monkeypatch.setattr(Incremental, "build", noted)
    return made


def test_partial_aggregates_outlive_a_restart(by_status: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    made = builds(monkeypatch)
    rows = orders(2)
    by_status.set("orders", [(*row[:4], "2026-03-09 10:00:00") for row in rows])  # in no column of the model
    by_status.refresh()
    by_status.restart()
    by_status.set("orders", orders(5))
    by_status.refresh()
    by_status.check()
    assert not made


@pytest.mark.parametrize("at", ["_rows_of", "_commit"])
def test_files_that_are_joined_while_gold_writes_are_no_failure(
    by_status: Shop, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Whether gold hears of it before its commit or by it."""
    made = builds(monkeypatch)
    owner: Any = GoldModel if at == "_rows_of" else TableLog
    work = getattr(owner, at)

    def join_first(*given: Any) -> Any:
        monkeypatch.setattr(owner, at, work)
        by_status.spark.sql(f"OPTIMIZE delta.`{path}`")
        return work(*given)

    (model,) = models.load_all(by_status.config.gold_models)
    path = by_status.config.gold_path(model.name)
    void = orders(9, status="void")[-1:]
    by_status.set("orders", [*orders(2), *void])
    by_status.refresh()
    before = delta_io.latest_version(by_status.spark, path)
    by_status.set("orders", [*orders(7), *void])
    monkeypatch.setattr(owner, at, join_first)
    by_status.refresh()
    assert delta_io.latest_version(by_status.spark, path) == before + 2
    by_status.check()
    by_status.set("orders", orders(9))
    by_status.refresh()
    by_status.check()
    assert not made


def test_a_damaged_store_of_partial_aggregates_is_made_anew(
    by_status: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = builds(monkeypatch)
    by_status.gold._models[0].table._incremental.close()  # type: ignore[union-attr]
    (model,) = models.load_all(by_status.config.gold_models)
    store = state_file(by_status.config, model)
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * (store.stat().st_size - 4096))
    by_status.restart()
    by_status.set("orders", orders(5))
    by_status.refresh()
    by_status.check()
    assert made == ["built"]


def test_a_query_that_cannot_be_split_is_tried_once(by_status: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def cannot(*_: Any) -> None:
        tried.append("tried")

    monkeypatch.setattr(Incremental, "of", cannot)
    by_status.restart()
    for number in (3, 4):
        by_status.set("orders", orders(number))
        by_status.refresh()
        by_status.check()
    assert tried == ["tried"]


def test_of_a_model_that_is_gone_no_partial_aggregates_stay(by_status: Shop) -> None:
    folder = by_status.config.gold_models
    (folder / "by_status.sql").rename(folder / "by_state.sql")
    by_status.restart()
    by_status.refresh()
    kept = {path.stem for path in (by_status.config.state / "gold").iterdir()}
    assert kept == {"by_state"}


def test_a_type_that_widens_while_gold_reads(by_status: Shop) -> None:
    path = by_status.config.silver_path(by_status.config.table("orders"))
    by_status.set("orders", orders(3))
    seen = {"orders": delta_io.latest_version(by_status.spark, path)}
    by_status.spark.sql(f"ALTER TABLE delta.`{path}` ALTER COLUMN amount TYPE decimal(14,4)")
    model = by_status.gold._models[0].table
    model.refresh(Silver(by_status.spark, by_status.config, seen))
    for number in (4, 5):
        by_status.set("orders", orders(number, "1.25"))
        by_status.refresh()
        by_status.check()


def test_a_model_that_fails_stops_no_other(shop: Shop) -> None:
    shop.refresh()
    broken = shop.gold._models[0].table
    broken.model = replace(broken.model, query="SELECT nonsense FROM {orders}")
    for name, rows in random_shop(random.Random(2)).items():
        shop.set(name, rows)
    assert not shop.gold.step(threading.Event())
    states = {name: facts["state"] for name, facts in shop.status.as_json()["models"].items()}
    assert states.pop(broken.model.name) == "failed"
    assert set(states.values()) == {"running"}


def test_columns_may_have_names_that_sql_reads_otherwise(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    front = {"keys": ["it's.a", "*"], "changes": {"odd": "SELECT `it's.a`, `*` FROM {changes}"}}
    query = "SELECT `it's.a`, `*`, count(*) AS n FROM {odd} GROUP BY 1, 2"
    (folder / "by_two.sql").write_text(f"-- {json.dumps(front)}\n{query}")
    odd = table("odd", ("k.e",), {"k.e": "bigint", "it's.a": "text", "*": "text"})
    shop = Shop(spark, tmp_path, (odd,), folder)
    shop.set("odd", [(1, "a", "x"), (2, "b", "x")])
    shop.refresh()
    shop.set("odd", [(1, "b", "x"), (3, "c", "y")])  # tells its changes in files of their own
    shop.refresh()
    shop.check()
    path = shop.config.silver_path(odd)
    added = (
        "INSERT INTO delta.`{}` (`k.e`, `it's.a`, `*`, is_current, _head) VALUES (4, 'c', 'y', true, true)"
    )
    spark.sql(added.format(path))  # and this one does not
    shop.refresh()
    shop.check()
    (model,) = models.load_all(folder)
    assert {tuple(row) for row in shop.stored(model).collect()} == {("b", "x", 1), ("c", "y", 2)}


def test_a_model_that_reads_no_captured_table_is_named_and_stops_no_other(
    spark: SparkSession, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for source in ("things", "parcels"):
        front = {"keys": ["id"], "changes": {source: "SELECT id FROM {changes}"}}
        (folder / f"of_{source}.sql").write_text(f"-- {json.dumps(front)}\nSELECT id FROM {{{source}}}")
    shop = Shop(spark, tmp_path, (table("things", ("id",), {"id": "bigint"}),), folder)
    with pytest.raises(GoldError, match=r"these models failed, see the log: of_parcels$"):
        shop.gold.run(threading.Event(), available_now=True)
    told = shop.status.as_json()["models"]
    said = "ModelError: of_parcels.sql: it reads parcels, but lakehouse_tables has things; add the table"
    assert told["of_parcels"]["error"]["message"].startswith(said)
    assert told["of_things"]["state"] == "running"
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / requests.ERASE).write_text(json.dumps({"public.things": [{"id": 1}]}))
    requests.fulfil(spark, shop.config)
    of_things = TableLog(spark, shop.config.gold_path("of_things"))
    assert of_things.version > 0 and not of_things.metadata  # forgotten, and nothing fails on the other
