"""Gold models that a full computation could give otherwise are refused; what only looks like one is not."""

from __future__ import annotations

import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from lakehouse.models import Model, ModelError
from lakehouse.repeatable import refuse_unrepeatable
from pyspark.sql import DataFrame, SparkSession
from test_gold import MODELS, Shop

pytestmark = pytest.mark.slow

SCHEMA = (
    "id bigint, place string, at timestamp, weight double, share float, units int, parts bigint, "
    "price decimal(12,2)"
)


@pytest.fixture(scope="module")
def current(spark: SparkSession) -> dict[str, DataFrame]:
    return {"sales": spark.createDataFrame([], SCHEMA)}


def model(query: str, changes: str = "SELECT place FROM {changes}") -> Model:
    return Model("m", "", ("place",), query, {"sales": changes})


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT place, max(at) < now() AS past FROM {sales} GROUP BY place", "now()"),
        (
            "SELECT place, count(*) FROM {sales} WHERE date(at) = current_date GROUP BY place",
            "current_date gives",
        ),
        ("SELECT place, unix_timestamp() AS at FROM {sales}", "timestamp() gives"),
        ("SELECT place FROM {sales} WHERE at > date 'today'", "date 'today'"),
        ("SELECT place FROM {sales} WHERE at > cast('now' AS timestamp)", "'now'"),
        ("SELECT place FROM {sales} WHERE at > 'tomorrow'", "'tomorrow' gives"),
        ("SELECT place, to_date('now') AS x FROM {sales}", "'now' gives"),
        ("SELECT place, rand() AS x FROM {sales}", "rand("),
        ("SELECT place, uuid() AS x FROM {sales}", "uuid()"),
        ("SELECT place, monotonically_increasing_id() AS x FROM {sales}", "monotonically_increasing_id()"),
        ("SELECT place, transform(array(1), x -> x + rand()) AS x FROM {sales}", "rand("),
        (
            "SELECT place FROM {sales} WHERE id IN (SELECT max(id) FROM {sales} WHERE at < localtimestamp())",
            "localtimestamp() gives",
        ),
        (
            "WITH recent AS (SELECT *, current_timestamp AS t FROM {sales}) "
            "SELECT place, max(t) AS t FROM recent GROUP BY place",
            "current_timestamp gives",
        ),
        ("SELECT place, (SELECT max(at) FROM {sales} WHERE rand() > 0) AS x FROM {sales}", "rand("),
        (
            "SELECT place, sum(weight) AS x FROM {sales} GROUP BY place",
            "sum(weight) adds numbers of type double",
        ),
        (
            "SELECT place, avg(share) AS x FROM {sales} GROUP BY place",
            "avg(share) adds numbers of type float",
        ),
        ("SELECT place, sum(units / 3) AS x FROM {sales} GROUP BY place", "of type double"),
        ("SELECT place, stddev(price) AS x FROM {sales} GROUP BY place", "stddev("),
        ("SELECT place, sum(weight) OVER (PARTITION BY place ORDER BY id) AS x FROM {sales}", "sum(weight)"),
        ("SELECT place, first(id) AS x FROM {sales} GROUP BY place", "first(id)"),
        ("SELECT place, any_value(id) AS x FROM {sales} GROUP BY place", "any_value(id)"),
        ("SELECT place, collect_list(id) AS x FROM {sales} GROUP BY place", "collect_list(id)"),
        ("SELECT place, listagg(place) AS x FROM {sales} GROUP BY place", "listagg(place"),
        ("SELECT place, max_by(id, at) AS x FROM {sales} GROUP BY place", "max_by(id, at)"),
        ("SELECT place, approx_percentile(id, 0.5) AS x FROM {sales} GROUP BY place", "approx_percentile("),
        (
            "SELECT place, avg(parts) AS x FROM {sales} GROUP BY place",
            "avg(parts) adds numbers of type bigint",
        ),
        ("SELECT place, count(*) AS n FROM {sales} GROUP BY place ORDER BY n LIMIT 3", "LIMIT"),
        ("SELECT place FROM {sales} TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
    ],
)
def test_a_model_that_could_differ_is_refused(
    spark: SparkSession, current: dict[str, DataFrame], query: str, named: str
) -> None:
    with pytest.raises(ModelError, match=re.escape(named)) as error:
        refuse_unrepeatable(spark, model(query), current)
    assert str(error.value).startswith("m.sql: in the query, ")
    assert ";" in str(error.value)  # the way out


@pytest.mark.parametrize(
    "query",
    [
        "SELECT place, count(*) FROM {sales} WHERE place <> 'now()' /* rand() */ GROUP BY place -- now()",
        "SELECT place FROM {sales} WHERE place > 'now' OR cast('today' AS string) = place",
        "SELECT place, 'today' AS rand, date '2026-11-25' AS uuid FROM {sales}",
        "SELECT place, sum(price), avg(price), avg(units), sum(parts) FROM {sales} GROUP BY place",
        "SELECT place, sum(cast(weight AS decimal(18, 6))), max(weight) FROM {sales} GROUP BY place",
        "SELECT place, cast(sum(parts) AS double) / count(*) AS x FROM {sales} GROUP BY place",
        "SELECT place, sort_array(collect_set(id)), max(struct(at, id)).id FROM {sales} GROUP BY place",
        "SELECT place, listagg(place) WITHIN GROUP (ORDER BY place) AS x FROM {sales} GROUP BY place",
        "SELECT place, median(units) AS x, approx_count_distinct(id) AS y FROM {sales} GROUP BY place",
        "SELECT place, first(id) OVER (PARTITION BY place ORDER BY at, id) AS x FROM {sales}",
        "SELECT * FROM (SELECT place, units, price FROM {sales}) PIVOT (sum(price) FOR units IN (1, 2))",
        "WITH s AS (SELECT * FROM {sales}) SELECT s.place, n FROM s JOIN (VALUES ('a', 1)) AS v (place, n) "
        "ON s.place = v.place",
        "SELECT DISTINCT place, count_if(units > 1) FILTER (WHERE id > 1) FROM {sales} GROUP BY CUBE (place)",
    ],
)
def test_a_model_that_cannot_differ_is_taken(
    spark: SparkSession, current: dict[str, DataFrame], query: str
) -> None:
    refuse_unrepeatable(spark, model(query), current)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT place, rate FROM {sales} JOIN <rates> USING (place)",
        "WITH r AS (SELECT * FROM <rates>) SELECT place, rate FROM {sales} JOIN r USING (place)",
        "SELECT place FROM {sales} WHERE id IN (SELECT rate FROM <rates>)",
    ],
)
def test_a_model_reads_silver_alone(
    spark: SparkSession, current: dict[str, DataFrame], tmp_path: Path, query: str
) -> None:
    spark.sql("SELECT 'a' AS place, 1 AS rate").write.parquet(str(tmp_path / "rates"))
    with pytest.raises(ModelError, match="rates is no table of silver, and nothing tells when it changes; "):
        refuse_unrepeatable(spark, model(query.replace("<rates>", f"parquet.`{tmp_path}/rates`")), current)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("Place", "keys has 'Place', and the query gives place, w, n; write it as it is"),
        ("w", "the key w is struct<"),
    ],
)
def test_a_key_that_tells_no_rows_apart_is_refused(
    spark: SparkSession, current: dict[str, DataFrame], key: str, named: str
) -> None:
    query = "SELECT place, window(at, '1 hour') AS w, count(*) AS n FROM {sales} GROUP BY 1, 2"
    windowed = replace(model(query), keys=("place", key))
    with pytest.raises(ModelError, match=re.escape(named)):
        refuse_unrepeatable(spark, windowed, current)


def test_the_queries_of_changes_are_judged_too(spark: SparkSession, current: dict[str, DataFrame]) -> None:
    late = model("SELECT place FROM {sales}", "SELECT place FROM {changes} WHERE at < now()")
    with pytest.raises(ModelError, match=r"in changes of sales, now\(\)"):
        refuse_unrepeatable(spark, late, current)


def test_a_refused_model_is_named_and_stops_no_other(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    models = tmp_path / "models"
    shutil.copytree(MODELS, models)
    late = "-- keys: [day]\n-- changes:\n--   orders: SELECT date(created_at) AS day FROM {changes}\n"
    (models / "late.sql").write_text(f"{late}SELECT current_date AS day, count(*) AS n FROM {{orders}}")
    shop.config = replace(shop.config, gold_models=models)
    shop.restart()
    assert not shop.gold.step(threading.Event())
    told = shop.status.as_json()["models"]
    assert told["late"]["error"]["message"].startswith("ModelError: late.sql: in the query, current_date ")
    assert {facts["state"] for name, facts in told.items() if name != "late"} == {"running"}
