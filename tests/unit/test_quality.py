"""Quality rules: what is declared wrongly gets one clear error; what is right becomes SQL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from lakehouse import catalog, quality
from lakehouse.config import Column, ConfigError, Table, parse
from lakehouse.quality import QualityError
from test_jobs_config import GOOD, changed

JOBS = Path(__file__).resolve().parents[2] / "files" / "spark_jobs"
TYPES = {
    "id": "bigint",
    "small": "smallint",
    "amount": "numeric(12,2)",
    "free": "numeric",
    "weight": "double precision",
    "status": "text",
    "paid": "boolean",
    "on": "date",
    "at": "timestamp with time zone",
    "local": "timestamp without time zone",
    "raw": "bytea",
}

WRONG: list[tuple[Any, str]] = [
    ("email", "public.t: quality is 'email'; write a list of rules"),
    (["email"], "quality rule 1 is 'email'; write for instance {column: amount, min: 0}"),
    ([{"column": "gone", "min": 0}], "quality rule gone_range: column is 'gone', which is no column"),
    ([{"min": 0}], "column is None, which is no column of the table"),
    ([{"column": "id"}], "quality rule 1: it has no check; give each rule one of"),
    ([{"column": "id", "min": 0, "not_null": True}], "it has not_null and min; give each rule one of"),
    ([{"column": "id", "pattern": "x"}], "pattern is no setting of a rule"),
    ([{"column": "id", "not_null": False}], "not_null is False; write true, or remove the rule"),
    ([{"column": "id", "min": 0, "name": 7}], "name is 7; write a text"),
    ([{"column": "id", "min": 5, "max": 3}], "id_range: min 5 is more than max 3"),
    ([{"column": "amount", "min": 0.5, "max": 0}], "amount_range: min 0.5 is more than max 0"),
    (
        [{"column": "at", "min": "2026-02-01", "max": "2026-01-01T10:00:00+02:00"}],
        "at_range: min 2026-02-01 is",
    ),
    ([{"column": "id", "min": 0.5}], "min is 0.5, which is no bigint as the column is"),
    ([{"column": "id", "min": None}], "min is None, which is no bigint"),
    ([{"column": "small", "max": 40000}], "max is 40000, which is no smallint"),
    ([{"column": "amount", "max": 0.001}], "max is 0.001, which is no numeric(12,2)"),
    ([{"column": "amount", "max": "lots"}], "max is 'lots', which is no numeric(12,2)"),
    ([{"column": "weight", "max": float("nan")}], "max is nan, which is no double precision"),
    ([{"column": "on", "min": "soon"}], "min is 'soon', which is no date"),
    ([{"column": "local", "min": "2026-01-01T00:00:00Z"}], "which is no timestamp without time zone"),
    ([{"column": "status", "min": 0}], "min do not suit a text; they are for numbers, dates and times"),
    ([{"column": "status", "in": "new"}], "in is 'new'; write a list with at least one value"),
    ([{"column": "status", "in": []}], "in is []; write a list with at least one value"),
    (
        [{"column": "status", "in": ["NL", False]}],
        "a value of in is False, which is no text as the column is; quote",
    ),
    ([{"column": "id", "in": [1, "2"]}], "a value of in is '2', which is no bigint"),
    ([{"column": "id", "in": [1, True]}], "a value of in is True, which is no bigint"),
    ([{"column": "raw", "in": ["x"]}], "in does not suit a bytea"),
    ([{"column": "id", "matches": "x"}], "matches does not suit a bigint; it is for text"),
    ([{"column": "status", "matches": 7}], "matches is 7; write a regular expression"),
    ([{"column": "id", "min": 0}, {"column": "id", "max": 9}], "two quality rules are called id_range"),
]


@pytest.mark.parametrize(("declared", "message"), WRONG)
def test_a_wrong_rule_is_named(declared: Any, message: str) -> None:
    with pytest.raises(QualityError) as error:
        quality.rules("public.t", declared, TYPES)
    assert message in str(error.value)
    assert str(error.value).startswith("public.t: ")


def test_the_jobs_settings_refuse_it_too() -> None:
    wrong = changed(["tables", 0, "quality"], [{"column": "status", "min": 1}])
    with pytest.raises(ConfigError, match=r"tables\[0\]: public.orders: quality rule status_range: min"):
        parse(wrong)


def test_the_flags_and_counts_take_no_name_of_the_source() -> None:
    with pytest.raises(QualityError, match="leave out the column"):
        quality.rules("public.t", [{"column": "_quality", "not_null": True}], {"_quality": "text"})
    rules = [{"column": "status", "not_null": True}]
    table = {**GOOD["tables"][0], "quality": rules}
    twin = {**GOOD["tables"][0], "name": "public.quality"}
    parse({**GOOD, "tables": [twin]})
    with pytest.raises(ConfigError, match="leave out the table, or the rules"):
        parse({**GOOD, "tables": [table, twin]})


def judge(*tables: dict[str, Any], columns: dict[str, Any], by: str = "lakehouse.quality") -> tuple[int, str]:
    """What site.yml does before it changes anything."""
    told = json.dumps({"tables": tables, "columns": columns})
    done = subprocess.run([sys.executable, "-m", by], input=told, capture_output=True, text=True, cwd=JOBS)
    return done.returncode, done.stderr


@pytest.mark.parametrize("known", [True, False])
def test_a_pattern_is_javas(known: bool) -> None:
    columns = {"public.t": [{"name": "status", "type": "text"}]} if known else {}
    good = {"name": "public.t", "quality": [{"column": "status", "matches": r"^(?<x>\p{L})*+$"}]}
    assert judge(good, columns=columns) == (0, "")
    bad = {"name": "public.t", "quality": [{"column": "status", "matches": "(?P<x>a)"}]}
    code, said = judge({"name": "public.other"}, good, bad, columns=columns)
    assert code == 1
    assert said.startswith("lakehouse_tables: public.t: quality rule status_matches: matches is '(?P<x>a)', ")
    assert said.endswith("; correct it\n") and said.count("\n") == 1


def test_before_the_source_is_there_its_columns_are_not_missed() -> None:
    rules = [{"column": "soon", "in": ["a"]}, {"column": "soon", "min": "2026-01-01"}]
    assert judge({"name": "public.t", "quality": rules}, columns={}) == (0, "")
    code, said = judge({"name": "public.t", "quality": [{"column": "soon", "min": 2, "max": 1}]}, columns={})
    assert code == 1 and "min 2 is more than max 1" in said


@pytest.mark.parametrize("known", [True, False])
def test_a_masked_column_has_hashes_alone(known: bool) -> None:
    columns = {"public.t": [{"name": "email", "type": "text"}]} if known else {}
    table = {"name": "public.t", "mask": ["email"], "quality": [{"column": "email", "not_null": True}]}
    assert judge(table, columns=columns) == (0, "")
    for check in ({"matches": "@"}, {"in": ["a@b"]}):
        code, said = judge({**table, "quality": [{"column": "email", **check}]}, columns=columns)
        assert code == 1
        assert "public.t: the quality rule of email has " in said and "remove the rule or the mask" in said


def test_a_table_called_as_the_view_of_the_counts_is_refused_beforehand() -> None:
    twin = {"name": "public.quality"}
    assert judge(twin, columns={}) == (0, "")
    code, said = judge(twin, {"name": "public.t", "quality": [{"column": "c", "not_null": True}]}, columns={})
    assert code == 1 and "public.quality would be silver.quality" in said


def test_a_tracked_column_that_is_none_is_refused_beforehand() -> None:
    columns = {"public.t": [{"name": name, "type": "text"} for name in ("id", "status")]}
    table = {"name": "public.t", "tracked_columns": ["status"]}
    assert judge(table, columns=columns, by="lakehouse.names") == (0, "")
    table["tracked_columns"] = ["statsu"]
    assert judge(table, columns={}, by="lakehouse.names") == (0, "")
    code, said = judge(table, columns=columns, by="lakehouse.names")
    assert code == 1
    assert "public.t: tracked_columns has 'statsu', which is no column" in said
    assert "choose from id, status" in said


def test_views_without_rules_have_nothing_of_them() -> None:
    table = Table("public.t", ("id",), (Column("id", "bigint"),), ())
    assert all("_quality" not in view["query"] for view in catalog.views(table))
    entries = catalog.entries(parse({**GOOD, "gold_models": str(JOBS.parent / "gold")}))
    assert {"database": "silver", "name": "quality", "state": "absent"} in entries


@pytest.mark.parametrize("rules", [[], [{"column": "order_id", "min": 1}]])
def test_the_catalog_is_what_the_role_that_registers_it_takes(rules: list[dict[str, object]]) -> None:
    table = {**GOOD["tables"][0], "quality": rules}
    entries = catalog.entries(parse({**GOOD, "tables": [table], "gold_models": str(JOBS.parent / "gold")}))
    specs = yaml.safe_load((JOBS.parents[1] / "roles/thrift/meta/argument_specs.yml").read_text())
    (taken,) = (
        entry["options"]["thrift_catalog"]
        for entry in specs["argument_specs"].values()
        if "thrift_catalog" in entry["options"]
    )
    checked = ArgumentSpecValidator({"tables": taken}).validate({"tables": entries})
    assert checked.error_messages == []
    for entry in checked.validated_parameters["tables"]:
        assert (entry["state"] == "absent") != bool(entry["location"] or entry["query"])
