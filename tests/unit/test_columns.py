"""What becomes of silver's columns when the source's change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lakehouse import pgtypes
from lakehouse.columns import ColumnError, business, differences
from lakehouse.config import Column, Table

THERE = {
    "id": "bigint",
    "price": "decimal(10,2)",
    "state": "string",
    "valid_from": "timestamp",
    "_head": "boolean",
}
NUMBERS = {"id": 1, "price": 2, "state": 3}


def table(*columns: Column) -> Table:
    return Table("public.things", ("id",), (Column("id", "bigint", False, 1), *columns), ())


PRICE, STATE = Column("price", "numeric(10,2)", number=2), Column("state", "text", number=3)


@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        ((PRICE, STATE), []),
        ((PRICE, STATE, Column("note", "jsonb", number=4)), ["ADD COLUMN `note` string"]),
        ((PRICE,), []),
        ((Column("price", "numeric(12,4)", number=2), STATE), ["ALTER COLUMN `price` TYPE decimal(12,4)"]),
        ((Column("price", "numeric(8,2)", number=2), STATE), []),
        ((PRICE, Column("state", "character varying(9)", number=3)), []),
        ((PRICE, STATE, Column("od`d", "int4range", number=4)), ["ADD COLUMN `od``d` string"]),
    ],
)
def test_what_can_be_followed(columns: tuple[Column, ...], changes: list[str]) -> None:
    assert list(differences(table(*columns), THERE, NUMBERS)) == changes


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ((PRICE, Column("status", "text", number=3)), "its column state is called status now"),
        ((PRICE, Column("state", "integer", number=3)), "its column state was string and is integer now"),
        (
            (Column("price", "numeric(10,3)", number=2), STATE),
            r"price was decimal\(10,2\) and is numeric\(10,3\)",
        ),
        ((Column("price", "bigint", number=2), STATE), "price was"),
    ],
)
def test_what_needs_somebody_is_told_with_the_way_out(columns: tuple[Column, ...], told: str) -> None:
    with pytest.raises(ColumnError, match=told) as error:
        list(differences(table(*columns), THERE, NUMBERS))
    assert "rebuild.yml" in str(error.value)


def test_another_key_needs_somebody_but_not_another_order_of_it() -> None:
    of_two = replace(table(PRICE, STATE), key=("id", "state"))
    for key in ([], ["state", "id"]):
        assert list(differences(of_two, THERE, NUMBERS, key)) == []
    with pytest.raises(ColumnError, match="its key was id and is id, state now"):
        list(differences(of_two, THERE, NUMBERS, ["id"]))


def test_a_column_that_was_dropped_and_added_again_is_no_renamed_one() -> None:
    columns = (PRICE, Column("state", "text", number=4))
    assert list(differences(table(*columns), THERE, NUMBERS)) == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("smallint", "integer"),
        ("integer", "bigint"),
        ("real", "double precision"),
        ("integer", "numeric(12,2)"),
        ("smallint", "numeric(12,2)"),
    ],
)
def test_wider_numbers_are_followed(before: str, now: str) -> None:
    kind = {"smallint": "smallint", "integer": "int", "real": "float"}[before]
    there = {"id": "bigint", "n": kind}
    (change,) = differences(table(Column("n", now, number=2)), there, {"id": 1, "n": 2})
    assert change.startswith("ALTER COLUMN `n` TYPE ")


def test_a_decimal_that_delta_does_not_widen_a_small_integer_to_needs_somebody() -> None:
    """Delta asks for ten digits before the point, as of any integer of up to four bytes."""
    with pytest.raises(ColumnError, match="was smallint and is numeric"):
        list(differences(table(Column("n", "numeric(7,2)", number=2)), {"id": "bigint", "n": "smallint"}, {}))
    assert pgtypes.wider_decimal("smallint", 1, 2) == "decimal(12,2)"


def test_silvers_own_columns_are_told_apart() -> None:
    assert list(business(THERE)) == ["id", "price", "state"]
