"""The delta_table module's decisions, against a catalog that keeps what the statements register."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.cdc.lakehouse.plugins.module_utils import delta_table
from ansible_collections.cdc.lakehouse.plugins.module_utils.delta_table import Catalog, Columns, Wanted

ORDERS = "gs://lake/silver/orders"
COLUMNS = (("order_id", "bigint"), ("items", "array<struct<sku:string,n:int>>"))


class FakeServer:
    """A Thrift Server that knows Delta logs by location and answers as Spark 4.2 does."""

    def __init__(self, logs: dict[str, Columns]) -> None:
        self.logs = logs
        self.databases: dict[str, dict[str, dict[str, Any]]] = {"default": {}}
        self.statements: list[str] = []

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if sql == "SHOW DATABASES":
            return [(name,) for name in self.databases]
        if found := re.fullmatch(r"SHOW TABLE EXTENDED IN `(\w+)` LIKE '\*'", sql):
            tables = self.databases[found[1]]
            return [(found[1], name, False, information(table)) for name, table in tables.items()]
        if found := re.fullmatch(r"DESCRIBE TABLE delta\.`(.+)`", sql):
            if found[1] not in self.logs:
                raise delta_table.StatementError(
                    f"[DELTA_MISSING_DELTA_TABLE] {found[1]} is not a Delta table."
                )
            partitioning = [("# Partition Information", "", ""), ("# col_name", "data_type", "comment")]
            return [*((name, kind, None) for name, kind in self.logs[found[1]]), *partitioning]
        self.statements.append(sql)
        if found := re.fullmatch(r"CREATE DATABASE IF NOT EXISTS `(\w+)`", sql):
            self.databases[found[1]] = {}
        elif found := re.fullmatch(r"DROP (?:TABLE|VIEW) `(\w+)`\.`(\w+)`", sql):
            del self.databases[found[1]][found[2]]
        elif found := re.fullmatch(r"CREATE TABLE `(\w+)`\.`(\w+)` USING DELTA LOCATION '(.+)'", sql):
            assert found[2] not in self.databases[found[1]]
            table = {
                "Type": "EXTERNAL",
                "Provider": "delta",
                "Location": found[3],
                "columns": self.logs[found[3]],
            }
            self.databases[found[1]][found[2]] = table
        elif found := re.fullmatch(
            r"CREATE OR REPLACE VIEW `(\w+)`\.`(\w+)`(?: COMMENT '(.*)')? WITH SCHEMA EVOLUTION AS\n(.+)",
            sql,
            re.DOTALL,
        ):
            self.databases[found[1]][found[2]] = view(
                found[4], "EVOLUTION", (found[3] or "").replace("\\", "")
            )
        else:
            pytest.fail(f"no such statement in Spark: {sql}")
        return []

    def columns(self, database: str) -> dict[str, Columns]:
        """As GetColumns writes types."""
        return {
            name: tuple(
                (column, kind.upper().replace(":", ": ").replace(",", ", "))
                for column, kind in table["columns"]
            )
            for name, table in self.databases[database].items()
        }


def view(query: str, mode: str, comment: str | None = None) -> dict[str, Any]:
    fields = {
        "Type": "VIEW",
        "View Text": query,
        "View Original Text": query,
        "View Schema Mode": mode,
        "columns": (),
    }
    return {**({"Comment": comment} if comment else {}), **fields}


def information(table: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in table.items() if key != "columns"]
    return "\n".join(
        ["Catalog: spark_catalog", *lines, "Schema: root", " |-- order_id: long (nullable = true)", ""]
    )


def register(server: FakeServer, *entries: Wanted, check_mode: bool = False) -> list[str]:
    """What the module does: plan and apply one entry after the other; the titles of what changed."""
    catalog = Catalog(server)
    changed = []
    for entry in entries:
        plan = delta_table.plan(catalog, server, entry, check_mode)
        if plan.statements:
            changed.append(entry.title)
            if not check_mode:
                delta_table.apply(server, catalog, entry.database, plan.statements)
    return changed


@pytest.fixture
def server() -> FakeServer:
    return FakeServer({ORDERS: COLUMNS})


TABLE = Wanted("silver", "orders_versions", location=ORDERS)
VIEW = Wanted(
    "silver",
    "orders",
    query="SELECT order_id\nFROM silver.orders_versions -- Type: current\n",
    comment="It's",
)


def test_registers_once(server: FakeServer) -> None:
    assert register(server, TABLE, VIEW) == ["silver.orders_versions", "silver.orders"]
    assert server.databases["silver"]["orders_versions"]["Location"] == ORDERS
    assert register(server, TABLE, VIEW) == []


def test_check_mode_says_the_same_and_does_nothing(server: FakeServer) -> None:
    assert register(server, TABLE, VIEW, check_mode=True) == ["silver.orders_versions", "silver.orders"]
    assert server.statements == []


def test_a_table_elsewhere_is_registered_here_again(server: FakeServer) -> None:
    server.logs["gs://lake/old"] = COLUMNS
    register(server, Wanted("silver", "orders_versions", location="gs://lake/old"))
    assert register(server, TABLE) == ["silver.orders_versions"]
    assert server.databases["silver"]["orders_versions"]["Location"] == ORDERS


def test_a_table_whose_columns_changed_is_registered_again(server: FakeServer) -> None:
    register(server, TABLE)
    server.logs[ORDERS] = (*COLUMNS, ("note", "string"))
    assert register(server, TABLE) == ["silver.orders_versions"]
    assert register(server, TABLE) == []


def test_file_locations_are_compared_as_places(server: FakeServer) -> None:
    server.logs["file:///lake/t/"] = COLUMNS
    entry = Wanted("silver", "t", location="file:///lake/t/")
    register(server, entry)
    server.databases["silver"]["t"]["Location"] = "file:/lake/t"
    assert register(server, entry) == []


@pytest.mark.parametrize(
    "damaged",
    [
        view("SELECT 1", "EVOLUTION", "It's"),
        view("SELECT order_id\nFROM silver.orders_versions -- Type: current", "COMPENSATION", "It's"),
        view("SELECT order_id\nFROM silver.orders_versions -- Type: current", "EVOLUTION", "Other"),
    ],
)
def test_a_view_that_was_changed_is_replaced(server: FakeServer, damaged: dict[str, Any]) -> None:
    server.databases["silver"] = {"orders": damaged}
    assert register(server, VIEW) == ["silver.orders"]
    assert server.databases["silver"]["orders"]["View Text"] == (VIEW.query or "").strip()


def test_a_view_takes_the_place_of_a_table_and_back(server: FakeServer) -> None:
    as_table = Wanted("silver", "orders", location=ORDERS)
    register(server, as_table)
    assert register(server, VIEW) == ["silver.orders"]
    assert register(server, as_table) == ["silver.orders"]
    assert server.databases["silver"]["orders"]["Type"] == "EXTERNAL"


def test_absent_removes_the_registration_once(server: FakeServer) -> None:
    register(server, TABLE, VIEW)
    gone = (Wanted("silver", "orders"), Wanted("silver", "orders_versions"), Wanted("nowhere", "x"))
    assert register(server, *gone) == ["silver.orders", "silver.orders_versions"]
    assert server.databases["silver"] == {}
    assert register(server, *gone) == []
    assert "nowhere" not in server.databases


@pytest.mark.parametrize("entry", [TABLE, VIEW, Wanted("silver", "orders")])
def test_data_of_a_managed_table_is_never_dropped(server: FakeServer, entry: Wanted) -> None:
    managed = {
        "Type": "MANAGED",
        "Provider": "delta",
        "Location": "gs://lake/_warehouse/o",
        "columns": COLUMNS,
    }
    server.databases["silver"] = {"orders": dict(managed), "orders_versions": dict(managed)}
    with pytest.raises(
        delta_table.CatalogError, match=r"silver.orders\w* is a managed table.*gs://lake/_warehouse/o"
    ):
        register(server, entry)
    assert server.statements == []


def test_a_location_without_a_log_is_refused(server: FakeServer) -> None:
    entry = Wanted("gold", "kpis", location="gs://lake/gold/kpis")
    with pytest.raises(
        delta_table.MissingLogError,
        match=r"gold.kpis .*no Delta log at gs://lake/gold/kpis.*lakehouse-pipeline",
    ):
        register(server, entry)
    assert server.statements == []
    plan = delta_table.plan(Catalog(server), server, entry, check_mode=True)
    assert plan.statements
    assert "no Delta log at gs://lake/gold/kpis" in plan.warning


def test_names_and_texts_are_quoted() -> None:
    assert delta_table.quote_name("a`b") == "`a``b`"
    assert delta_table.quote_text("it's \\ a") == "'it\\'s \\\\ a'"


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(
        delta_table.CatalogError,
        match=r"No Thrift Server answers at 127.0.0.1:1: .*systemctl status spark-thrift",
    ):
        delta_table.ThriftServer("127.0.0.1", 1, "bi", "secret")
