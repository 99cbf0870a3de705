"""Which queries of gold models can be split into rows and aggregates, and which cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from lakehouse import models
from lakehouse.aggregates import Aggregate, Join, Joined, split
from lakehouse.models import Model

MODELS = Path(__file__).resolve().parents[2] / "files" / "gold"
TABLES = {
    "orders": ("order_id", "customer_id", "status", "amount", "created_at"),
    "items": ("order_id", "line_no", "product_id", "quantity"),
    "customers": ("customer_id", "country"),
}


def model(query: str, keys: tuple[str, ...] = ("k",)) -> Model:
    read = [name for name in TABLES if f"{{{name}}}" in query]
    return Model("tried", "", keys, query, dict.fromkeys(read, "SELECT 1"))


def test_an_aggregate_counts_what_its_filter_lets_through() -> None:
    query = (
        "SELECT customer_id AS k, count(*) AS n, count_if(status = 'paid') FILTER (WHERE amount > 1) AS p, "
        "sum(amount) / count(DISTINCT order_id) AS x, max(amount) + min(amount) AS y "
        "FROM {orders} GROUP BY customer_id HAVING count(*) > 1"
    )
    found = split(model(query), TABLES)
    assert found is not None
    assert found.aggregates == (
        Aggregate("count", 0),
        Aggregate("count", 1),
        Aggregate("sum", 2),
        Aggregate("distinct", 3),
        Aggregate("max", 2),
        Aggregate("min", 2),
    )
    assert "CASE WHEN status = 'paid' AND amount > 1 THEN 1 END AS _argument1" in found.rows
    assert found.result == (
        "SELECT _key0 AS `k`, _result0 AS `n`, _result1 AS `p`, _result2 / _result3 AS `x`, "
        "_result4 + _result5 AS `y` FROM {groups} WHERE _result0 > 1"
    )
    assert found.columns == {"orders": ("order_id", "customer_id", "status", "amount")}


def test_what_is_counted_may_be_a_condition() -> None:
    found = split(
        model("SELECT status AS k, count(NOT amount > 1) AS n FROM {orders} GROUP BY status"), TABLES
    )
    assert found is not None
    assert "CASE WHEN NOT (NOT amount > 1) IS NULL THEN 1 END AS _argument0" in found.rows


def test_joins_are_found_by_the_columns_that_are_equal() -> None:
    query = (
        "SELECT c.Country AS k, count(*) AS n FROM {items} i JOIN {orders} o ON i.order_id = o.order_id "
        "AND quantity > 1 LEFT JOIN {customers} c ON o.customer_id = c.customer_id GROUP BY c.Country"
    )
    found = split(model(query), TABLES)
    assert found is not None
    assert found.joins == (
        (
            Join("items", ("order_id",), "orders", ("order_id",), False),
            Join("orders", ("customer_id",), "customers", ("customer_id",), True),
        ),
    )
    assert found.rows == (
        "SELECT c.Country AS _key0, 1 AS _argument0, i._side AS _side FROM {items} AS i JOIN {orders} AS o "
        "ON (i.order_id = o.order_id AND quantity > 1) AND o._side = i._side "
        "LEFT JOIN {customers} AS c ON o.customer_id = c.customer_id AND c._side = i._side"
    )


def test_rows_are_joined_before_where_they_can_be() -> None:
    query = (
        "SELECT c.Country AS k, count(*) AS n FROM {items} i JOIN {orders} o ON i.order_id = o.order_id "
        "AND quantity > 1 LEFT JOIN {customers} c ON o.customer_id = c.customer_id WHERE line_no < 9 "
        "GROUP BY 1"
    )
    found = split(model(query), TABLES)
    assert found is not None
    assert found.joined_rows == (
        "SELECT _row2.Country AS _key0, 1 AS _argument0, _side AS _side FROM {_joined0} "
        "WHERE _row0.line_no < 9 AND (_row0.order_id = _row1.order_id AND _row0.quantity > 1)"
    )
    joins = (
        Join("items", ("order_id",), "orders", ("order_id",), False),
        Join("orders", ("customer_id",), "customers", ("customer_id",), True),
    )
    assert found.joined == (Joined("items", joins),)


def test_a_column_that_tables_share_is_that_of_the_left_one() -> None:
    query = (
        "SELECT customer_id AS k, count(country) AS n FROM {orders} LEFT JOIN {customers} "
        "USING (customer_id) GROUP BY customer_id"
    )
    found = split(model(query), TABLES)
    assert found is not None
    assert found.joined_rows == (
        "SELECT _row0.customer_id AS _key0, "
        "CASE WHEN NOT (_row1.country) IS NULL THEN 1 END AS _argument0, _side AS _side FROM {_joined0}"
    )


def test_what_an_outer_join_asks_besides_is_left_to_spark() -> None:
    query = (
        "SELECT o.status AS k, count(i.quantity) AS n FROM {orders} o LEFT JOIN {items} i "
        "ON i.order_id = o.order_id AND i.quantity > 1 GROUP BY o.status"
    )
    found = split(model(query), TABLES)
    assert found is not None
    assert found.joined == ()
    assert found.joined_rows == found.rows


@pytest.mark.parametrize(
    "query",
    [
        "SELECT status AS k, bool_or(amount > 1) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, max_by(amount, order_id) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, nobody_knows(amount) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, count(amount, order_id) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, sum(DISTINCT amount) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, sum(count(*)) OVER (ORDER BY status) AS x FROM {orders} GROUP BY status",
        "SELECT status AS k, amount AS x, count(*) AS n FROM {orders} GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM {orders} GROUP BY status, amount",
        "SELECT status AS k, count(*) AS n FROM {orders} GROUP BY ALL",
        "SELECT status AS k, count(*) AS n FROM {orders} GROUP BY ROLLUP (status)",
        "SELECT DISTINCT status AS k FROM {orders} GROUP BY status",
        "SELECT status AS k FROM {orders}",
        "SELECT status AS k, count(*) AS n FROM {orders} GROUP BY status HAVING n > 1",
        "SELECT status AS k, count(*) AS n FROM (SELECT DISTINCT status FROM {orders}) GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM (SELECT status FROM {orders} LIMIT 9) GROUP BY status",
        "SELECT k, count(*) AS n FROM (SELECT status AS k FROM {orders} GROUP BY status) GROUP BY k",
        "SELECT status AS k, count(*) AS n FROM (SELECT * FROM {orders}) GROUP BY status",
        "SELECT k, count(*) AS n FROM (SELECT status AS k FROM {orders} UNION "
        "SELECT country FROM {customers}) GROUP BY k",
        "SELECT k, count(*) AS n FROM (SELECT status AS k, rank() OVER (ORDER BY amount) FROM {orders}) "
        "GROUP BY k",
        "WITH o AS (SELECT status AS k FROM {orders}) SELECT k, count(*) AS n FROM o GROUP BY k",
        "SELECT status AS k, count(*) AS n FROM {orders} WHERE EXISTS (SELECT 1 FROM {items}) "
        "GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM {orders}, {items} GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM {orders} o JOIN {items} i ON o.order_id < i.order_id "
        "GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM {orders} FULL JOIN {items} USING (order_id) GROUP BY status",
        "SELECT status AS k, count(*) AS n FROM {orders} LEFT SEMI JOIN {items} USING (order_id) "
        "GROUP BY status",
        "SELECT a.status AS k, count(*) AS n FROM {orders} a JOIN {orders} b ON a.order_id = b.customer_id "
        "GROUP BY a.status",
        "SELECT status AS k, count(*) AS n FROM {orders} TABLESAMPLE (5 ROWS) GROUP BY status",
        "SELECT x AS k, count(*) AS n FROM {orders} LATERAL VIEW explode(split(status, 'a')) AS x GROUP BY x",
        "SELECT status AS k, (SELECT count(*) FROM {items}) AS n FROM {orders} GROUP BY status",
    ],
)
def test_what_cannot_be_split(query: str) -> None:
    assert split(model(query), TABLES) is None


def test_braces_in_a_text_stay() -> None:
    found = split(model("SELECT concat('{{', status) AS k, count(*) AS n FROM {orders} GROUP BY 1"), TABLES)
    assert found is not None
    assert found.rows == "SELECT CONCAT('{{', status) AS _key0, 1 AS _argument0, _side AS _side FROM {orders}"


def test_every_model_of_the_collection_can_be_split() -> None:
    columns = {
        "orders": TABLES["orders"],
        "order_items": ("order_id", "line_no", "product_id", "quantity", "unit_price"),
        "customers": ("customer_id", "country", "created_at"),
        "products": ("product_id", "sku", "name", "category", "price"),
    }
    for found in models.load_all(MODELS):
        assert split(found, columns) is not None, found.name
