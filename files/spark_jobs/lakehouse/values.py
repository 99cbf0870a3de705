"""A source table's values outside Spark: from Debezium's JSON to plain integers and texts, and to Arrow
columns.

While events are folded a value is an integer or a text that stands for it alone, so that it can be
compared, kept in SQLite and turned into its Arrow type without loss: a boolean is 0 or 1, a date its days
and a timestamp its microseconds since 1970, a floating-point number its bits, a decimal its text in the
column's scale, bytes are base64.

What is usual is read by the standard library's C code; the general way, for the rest, gives the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson
import pyarrow as pa

from lakehouse import pgtypes

Value = int | str | None

# As many digits as there can be: Python refuses to make an integer of thousands. And no others than these
# ten: Python also reads 1_0, " 10", nan and the digits of every script.
_INTEGER_TEXT = re.compile(r"[+-]?[0-9]{1,19}").fullmatch
_NUMBER_TEXT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_FLOAT_DIGITS = 9  # that tell every float from all others: nobody writes more
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_DATE = "([+-]?[0-9]{4,9})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_DATE_TEXT = re.compile(f"{_DATE}Z?").fullmatch
_TIME_TEXT = re.compile(f"{_DATE}[T ]{_TIME}").fullmatch
_USUAL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_USUAL_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)Z?"
).fullmatch
_1970 = datetime(1970, 1, 1)
_DAY = 86_400_000_000
_WIDE = Context(prec=1000)
_RANGES = {"smallint": 15, "int": 31, "bigint": 63}
_UNAVAILABLE = frozenset(pgtypes.UNAVAILABLE)
_UNAVAILABLE_READ = tuple(json.loads(told) for told in pgtypes.UNAVAILABLE if told[0] in "[{")
_SHOWN = 100


class BadValue(ValueError):
    """A value that is none of its column's type."""


Reader = Callable[[Any], Value]


def is_unavailable(value: Any) -> bool:
    """Whether Debezium says that it does not know the value (TOAST)."""
    return value in (_UNAVAILABLE if isinstance(value, str) else _UNAVAILABLE_READ)


def reader(kind: str) -> Reader:
    """How to read a column's JSON values, by its Spark SQL type; the function raises BadValue."""
    if kind in _RANGES:
        bound = 1 << _RANGES[kind]
        return lambda value: _integer(value, bound)
    if kind.startswith("decimal"):
        return _decimal_reader(*(int(digits) for digits in re.findall(r"\d+", kind)))
    readers: dict[str, Reader] = {
        "boolean": _boolean,
        "float": lambda value: _bits(value, "<f", "<i"),
        "double": lambda value: _bits(value, "<d", "<q"),
        "date": _days,
        "timestamp": lambda value: _microseconds(value, zoned=True),
        "timestamp_ntz": lambda value: _microseconds(value, zoned=False),
        "binary": _base64,
        "string": text,
    }
    return readers[kind]


def wider_type(kind: str, value: Any) -> str | None:
    """The narrowest type that a column may become so that it has a value.

    Args:
        kind: The column's Spark SQL type, which does not have the value.
        value: A JSON value. Of a number it tells the type in the source: numeric comes as a text.

    Returns:
        The type; None when no wider one has the value.
    """
    if kind.startswith("decimal") or isinstance(value, str):
        told = text(value)
        try:
            number = Decimal(told) if _NUMBER_TEXT(told) else None
        except InvalidOperation:
            number = None
        if number is not None:
            scale = max(0, -int(number.as_tuple().exponent))
            return pgtypes.wider_decimal(kind, number.adjusted() + 1 if number else 0, scale)
    if kind in _RANGES and value in _NO_NUMBERS:
        return None  # a double has these, and no integer became one of them
    for other in pgtypes.wider(kind):
        try:
            reader(other)(value)
        except BadValue:
            continue
        return other
    return None


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a Spark SQL type."""
    if kind.startswith("decimal"):
        return pa.decimal128(*(int(digits) for digits in re.findall(r"\d+", kind)))
    return {
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "float": pa.float32(),
        "double": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "timestamp_ntz": pa.timestamp("us"),
        "binary": pa.binary(),
        "string": pa.string(),
    }[kind]


def to_arrow(values: Sequence[Value], kind: pa.DataType) -> pa.Array:
    """A column of values in its Arrow type."""
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_binary(kind):
        return pa.array([None if value is None else base64.b64decode(str(value)) for value in values], kind)
    if pa.types.is_boolean(kind):
        return pa.array(values, pa.int8()).cast(kind)
    if pa.types.is_floating(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    if pa.types.is_date(kind):
        return pa.array(values, pa.int32()).view(kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).view(kind)
    return pa.array(values, kind)


def from_arrow(column: pa.Array | pa.ChunkedArray) -> list[Value]:
    """The values of an Arrow column that `to_arrow` made, also after a way through Spark."""
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz)).view(pa.int64())
    elif pa.types.is_date(kind):
        column = column.view(pa.int32())
    elif pa.types.is_floating(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        return [None if value is None else f"{value:f}" for value in column.to_pylist()]
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
    found: list[Value] = column.to_pylist()
    return found


def _json(value: Any) -> str:
    try:
        orjson.dumps(value)  # takes 254 levels; json takes as many as the stack has left
    except TypeError as error:
        raise BadValue(value) from error
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def text(value: Any) -> str:
    """A JSON value as the text that Debezium would have sent for it."""
    return value if isinstance(value, str) else _json(value)


def shown(value: Any) -> str:
    """A JSON value as a message shows it: its beginning."""
    try:
        whole = text(value)
    except BadValue:
        return "what is nested too deeply"
    return whole if len(whole) <= _SHOWN else f"{whole[:_SHOWN]}…"


def _integer(value: Any, bound: int) -> int:
    if isinstance(value, str) and _INTEGER_TEXT(value):
        value = int(value)
    if type(value) is not int or not -bound <= value < bound:
        raise BadValue(value)
    return value


def _boolean(value: Any) -> int:
    if value is True or value == "true":
        return 1
    if value is False or value == "false":
        return 0
    raise BadValue(value)


def _bits(value: Any, kind: str, bits: str) -> int:
    is_text = isinstance(value, str)
    is_number = _NUMBER_TEXT(value) or value in _NO_NUMBERS if is_text else type(value) in (float, int)
    if not is_number:
        raise BadValue(value)
    try:
        number = float(value)
        packed = struct.pack(kind, number)
    except OverflowError:  # beyond a float: as PostgreSQL's own cast would refuse it
        raise BadValue(value) from None
    if is_text and math.isinf(number) and value not in _NO_NUMBERS:
        raise BadValue(value)  # the same of a double
    if kind == "<f" and not is_text:
        vanished = value and not struct.unpack(kind, packed)[0]
        if vanished or len(_significant(value)) > _FLOAT_DIGITS:
            raise BadValue(value)
    return int(struct.unpack(bits, packed)[0])


def _significant(value: float) -> str:
    """The digits that a number is written with, but for zeros around them."""
    return repr(value).partition("e")[0].replace(".", "").strip("-0")


def _decimal_reader(precision: int, scale: int) -> Reader:
    more = rf"[0-9]{{0,{precision - scale - 1}}}"
    whole = rf"(?:0|[1-9]{more})" if precision > scale else "0"
    usual = re.compile(rf"-?{whole}" + (rf"\.[0-9]{{{scale}}}" if scale else "")).fullmatch

    def read(value: Any) -> str:
        if isinstance(value, str) and usual(value):
            return value  # as it is kept
        return _decimal(value, precision, scale)

    return read


def _decimal(value: Any, precision: int, scale: int) -> str:
    told = text(value)
    if not _NUMBER_TEXT(told):
        raise BadValue(value)
    try:
        number = Decimal(told)
        exact = number.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
    except InvalidOperation as error:
        raise BadValue(value) from error
    if exact != number or len(exact.as_tuple().digits) > precision:
        raise BadValue(value)
    return f"{exact:f}"


def _days(value: Any) -> int:
    if isinstance(value, str) and _USUAL_DATE(value):
        try:
            return date.fromisoformat(value).toordinal() - _1970.toordinal()
        except ValueError:
            pass  # the year 0, or no date
    match = _DATE_TEXT(value) if isinstance(value, str) else None
    if match is None:
        raise BadValue(value)
    days = _days_since_1970(value, *(int(part) for part in match.groups()))
    if not -(1 << 31) <= days < 1 << 31:
        raise BadValue(value)  # what Debezium makes of infinity
    return days


def _microseconds(value: Any, *, zoned: bool) -> int:
    if isinstance(value, str) and (usual := _USUAL_TIME(value)):
        try:
            since = datetime.fromisoformat(usual[1]) - _1970
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        except ValueError:
            pass  # the year 0, or no date
    match = _TIME_TEXT(value) if isinstance(value, str) else None
    if match is None:
        return _in_range(value, _days(value) * _DAY)  # from before a date became a timestamp
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    days = _days_since_1970(value, int(year), int(month), int(day))
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise BadValue(value)
    whole = (days * 24 + hours) * 3600 + minutes * 60 + seconds
    if zoned and zone and zone != "Z":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        shift = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        whole -= shift if zone[0] == "+" else -shift
    return _in_range(value, whole * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6]))


def _in_range(value: Any, since_1970: int) -> int:
    if not -(1 << 63) <= since_1970 < 1 << 63:
        raise BadValue(value)  # PostgreSQL goes a little further than Spark
    return since_1970


def _days_since_1970(value: Any, year: int, month: int, day: int) -> int:
    """Days from the civil date (H. Hinnant, chrono-Compatible Low-Level Date Algorithms, days_from_civil)."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        raise BadValue(value)
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _base64(value: Any) -> str:
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadValue(value) from error
