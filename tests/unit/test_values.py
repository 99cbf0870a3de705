"""Values of source columns outside Spark: what is read, and that Arrow gives them back."""

from __future__ import annotations

import base64
import json
import time

import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lakehouse import pgtypes, values

GOOD = [
    ("bigint", 9223372036854775807, 9223372036854775807),
    ("integer", "-5", -5),
    ("smallint", None, None),
    ("boolean", True, 1),
    ("numeric(12,2)", "12.30", "12.30"),
    ("numeric(12,2)", 12.3, "12.30"),
    (
        "numeric(38,10)",
        "-1234567890123456789012345678.0123456789",
        "-1234567890123456789012345678.0123456789",
    ),
    ("numeric(12,2)", "1E+5", "100000.00"),
    ("numeric(12,2)", "-1.5e-1", "-0.15"),
    ("numeric(12,2)", 7, "7.00"),
    ("numeric", "NaN", "NaN"),
    ("date", "1970-01-02", 1),
    ("date", "0001-01-01Z", -719162),
    ("date", "-0044-03-15", -735525),
    ("timestamp with time zone", "1970-01-01T00:00:01.5Z", 1_500_000),
    ("timestamp with time zone", "1970-01-01T01:00:00+01:00", 0),
    ("timestamp(3) without time zone", "1969-12-31T23:59:59.999999Z", -1),
    ("timestamp without time zone", "+294247-01-10T04:00:54.775807Z", 9223372036854775807),
    ("timestamp without time zone", "1970-01-02Z", 86_400_000_000),  # from when the column was a date
    ("timestamp with time zone[]", ["2026-03-01T10:34:56Z", None], '["2026-03-01T10:34:56Z",null]'),
    ("bytea", "AAH/", "AAH/"),
    ("bytea", "", ""),
    ("text", "grüße", "grüße"),
    ("jsonb", '{"a": 1}', '{"a": 1}'),
    ("integer[]", [1, None, 3], "[1,null,3]"),
]
BAD = [
    ("bigint", 9223372036854775808),
    ("integer", 1.5),
    ("integer", "no number"),
    ("integer", True),
    ("boolean", "maybe"),
    ("numeric(12,2)", "12.301"),
    ("numeric(4,2)", "123.00"),
    ("numeric(12,2)", "NaN"),
    ("date", "2025-02-29"),
    ("date", "+292278994-08-16Z"),  # infinity
    ("timestamp with time zone", "2025-01-01T24:00:00Z"),
    ("timestamp without time zone", "+294247-01-10T04:00:54.775808Z"),
    ("timestamp without time zone", "+294247-01-11"),
    ("timestamp with time zone", "-300000-01-01Z"),
    ("bytea", "a"),
    ("double precision", "one"),
    ("double precision", "1e400"),
    ("double precision", [1.5]),
    ("double precision", True),
    ("numeric(12,2)", True),
    ("numeric(12,2)", "1e999999999999999999999"),
    ("numeric(12,2)", "NAN"),
]
PYTHONS_OWN = [
    *("1_0", " 10", "10\n", "\u0661\u0662", "1_0.00", " 10.00\n", "\u0661.00", "0x10", "1e1_0", ""),
    *("nan", "inf", "-inf", "infinity", "INFINITY", "+Infinity", " NaN", "Infinity\n", "sNaN", "NaN123"),
    *("\u0662\u0660\u0662\u0665-01-01", "2025-01-01\n", "2025-01-0\u0661T00:00:00", "2025-01-01T00:00:00Z\n"),
    *("2025-01-01T00:00:00+\u0660\u0661:00", "2025-01-01T00:00:00.\u0661Z"),
]
"""What Python takes for numbers and times, and neither PostgreSQL nor Debezium writes."""


@pytest.mark.parametrize(("pg_type", "told", "value"), GOOD)
def test_a_value_is_read_and_survives_arrow(pg_type: str, told: object, value: values.Value) -> None:
    read = None if told is None else values.reader(pgtypes.spark_type(pg_type))(told)
    assert read == value
    column = values.to_arrow([value, None], values.arrow_type(pgtypes.spark_type(pg_type)))
    assert column.type == values.arrow_type(pgtypes.spark_type(pg_type))
    assert values.from_arrow(column) == [value, None]


FLOATS = [0.1, -0.0, 7, 3.4028235e38, 1e-45, "NaN", "Infinity", "-Infinity", "1.0E30", "-1.5e-7", "12", ".5"]
DOUBLES = [*FLOATS, 5e-324, 0.123456789012345, 16777217.75]


@pytest.mark.parametrize(
    ("pg_type", "number"),
    [(kind, told) for kind, those in (("real", FLOATS), ("double precision", DOUBLES)) for told in those],
)
def test_a_floating_point_number_keeps_its_bits(pg_type: str, number: float | str) -> None:
    bits = values.reader(pgtypes.spark_type(pg_type))(number)
    column = values.to_arrow([bits], values.arrow_type(pgtypes.spark_type(pg_type)))
    assert values.from_arrow(column) == [bits]
    expected = pa.array([float(number)]).cast(values.arrow_type(pgtypes.spark_type(pg_type))).to_pylist()
    assert repr(column.to_pylist()) == repr(expected)


@pytest.mark.parametrize("number", [5e-324, 0.123456789012345, -16777217.75])
def test_what_only_a_double_can_be_is_no_float(number: float) -> None:
    with pytest.raises(values.BadValue):
        values.reader("float")(number)
    assert values.wider_type("float", number) == "double"


@pytest.mark.parametrize(("pg_type", "told"), BAD)
def test_a_value_of_another_type_is_refused(pg_type: str, told: object) -> None:
    with pytest.raises(values.BadValue):
        values.reader(pgtypes.spark_type(pg_type))(told)


@pytest.mark.parametrize("told", PYTHONS_OWN)
@pytest.mark.parametrize(
    "pg_type", ["bigint", "real", "double precision", "numeric(12,2)", "date", "timestamp with time zone"]
)
def test_what_python_alone_can_read_is_refused(pg_type: str, told: str) -> None:
    with pytest.raises(values.BadValue):
        values.reader(pgtypes.spark_type(pg_type))(told)


def test_to_refuse_a_long_text_takes_no_long_time() -> None:
    began = time.process_time()
    for pg_type in ("bigint", "double precision", "numeric(12,2)", "date"):
        with pytest.raises(values.BadValue):
            values.reader(pgtypes.spark_type(pg_type))("9" * 1_000_000 + "x")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", pgtypes.UNAVAILABLE)
def test_what_debezium_left_out_is_known_in_each_of_its_forms(text: str) -> None:
    assert values.is_unavailable(text)
    if text[0] in "[{":
        assert values.is_unavailable(json.loads(text))
    assert not values.is_unavailable("text")
    assert not values.is_unavailable([1])


def test_what_debezium_left_out_of_an_array_of_bytea_is_known() -> None:
    """Its bytes in JSON, as an array of one element."""
    element = base64.b64encode(b"__debezium_unavailable_value").decode()
    assert values.is_unavailable([element])
    assert values.is_unavailable(json.dumps([element]))


def test_nothing_nested_is_taken_for_what_was_left_out() -> None:
    nested = orjson.loads("[" * 1020 + "]" * 1020)
    assert not any(values.is_unavailable(value) for value in (nested, {"a": nested}, [1, nested], {"a": "b"}))


def _read(pg_type: str, told: str) -> values.Value:
    try:
        return values.reader(pgtypes.spark_type(pg_type))(told)
    except values.BadValue:
        return "bad"


_DATES = st.builds(
    "{:04}-{:02}-{:02}".format,
    st.one_of(st.sampled_from([0, 1, 4, 1582, 1900, 1970, 2000, 2024, 9999]), st.integers(0, 9999)),
    st.integers(0, 13),
    st.integers(0, 32),
)
_TIMES = st.builds(
    "{}T{:02}:{:02}:{:02}{}{}".format,
    _DATES,
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
    st.from_regex(r"(\.[0-9]{1,10})?", fullmatch=True),
    st.sampled_from(["", "Z", "+01:00", "-0530"]),
)
_NUMBERS = st.from_regex(r"[0-9]{1,5}(\.[0-9]{0,4})?", fullmatch=True)


@given(
    st.one_of(
        st.tuples(st.just("date"), _DATES),
        st.tuples(
            st.sampled_from(["timestamp with time zone", "timestamp(3) without time zone"]),
            _TIMES,
        ),
        st.tuples(st.sampled_from(["numeric(4,2)", "numeric(3,0)", "numeric(2,2)"]), _NUMBERS),
    )
)
@example(("date", "2024-02-29"))
@example(("numeric(2,2)", "0.05"))
def test_a_sign_that_says_nothing_changes_nothing(typed: tuple[str, str]) -> None:
    """With it a value takes the general way, without it the short one."""
    pg_type, told = typed
    assert _read(pg_type, told) == _read(pg_type, f"+{told}")
