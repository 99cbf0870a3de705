"""PostgreSQL types in Spark: which type a column gets. How a value becomes one is in `values`.

Debezium is set to send numeric as text and times as ISO 8601 text. Policies:

* numeric(p,s) of up to 38 digits is an exact decimal. Without a precision, or wider, it stays the exact
  text, since no
  decimal could hold every value. NaN in a numeric(p,s) is a bad value.
* json, arrays, ranges, time, interval and whatever else Spark has no type for stay the text that Debezium
  sent.
"""

from __future__ import annotations

import base64
import json
import re

_PLAIN = {
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "oid": "bigint",
    "real": "float",
    "double precision": "double",
    "boolean": "boolean",
    "date": "date",
    "bytea": "binary",
}
_NUMERIC = re.compile(r"^numeric\((\d+),(-?\d+)\)$")

_PLACEHOLDER = "__debezium_unavailable_value"
_PLACEHOLDER_BYTES = base64.b64encode(_PLACEHOLDER.encode()).decode()
_PLACEHOLDER_UUID = "b68a35a7-17ad-35b3-af2a-ae46edb4545a"
UNAVAILABLE = (
    _PLACEHOLDER,
    _PLACEHOLDER_BYTES,
    json.dumps([_PLACEHOLDER]),
    json.dumps([_PLACEHOLDER_BYTES]),
    json.dumps([_PLACEHOLDER_UUID]),
    json.dumps(list(_PLACEHOLDER.encode()), separators=(",", ":")),
    json.dumps({_PLACEHOLDER: _PLACEHOLDER}, separators=(",", ":")),
)
"""What Debezium sends for a TOASTed value left alone, as text, bytea, text[], bytea[], uuid[], int[], hstore.
A bytea[] comes so with `binary.handling.mode=bytes`; with base64 it comes as null."""


def spark_type(pg_type: str) -> str:
    """The Spark SQL type that holds every value of a PostgreSQL type."""
    if pg_type in _PLAIN:
        return _PLAIN[pg_type]
    if pg_type.startswith("timestamp") and not pg_type.endswith("[]"):
        return "timestamp" if pg_type.endswith("with time zone") else "timestamp_ntz"
    if digits := _digits(pg_type):
        return f"decimal({digits[0]},{digits[1]})"
    return "string"


_WIDER = {
    "smallint": ("int", "bigint", "double"),
    "int": ("bigint", "double"),
    "float": ("double",),
    "date": ("timestamp_ntz",),
}
_WHOLE_DIGITS = {"smallint": 10, "int": 10, "bigint": 20}  # that Delta asks for (TypeWidening)
_MOST_DIGITS = 38
_DECIMAL = re.compile(r"^decimal\((\d+),(\d+)\)$")


def is_wider(kind: str, than: str) -> bool:
    """Whether a Delta column of a Spark SQL type can become one of another (Delta's type widening)."""
    if match := _DECIMAL.match(kind):
        precision, scale = int(match[1]), int(match[2])
        if than in _WHOLE_DIGITS:
            return precision - scale >= _WHOLE_DIGITS[than]
        other = _DECIMAL.match(than)
        return (
            other is not None
            and scale >= int(other[2])
            and precision - scale >= int(other[1]) - int(other[2])
        )
    return kind in _WIDER.get(than, ())


def wider(kind: str) -> tuple[str, ...]:
    """The types but decimals that a column of a Spark SQL type may become, the narrowest first."""
    return _WIDER.get(kind, ())


def wider_decimal(kind: str, whole: int, scale: int) -> str | None:
    """The narrowest decimal that a column of a Spark SQL type may become; None: it may become none.

    Args:
        kind: The type.
        whole: The digits before the point that it has to have at least.
        scale: Those behind.
    """
    if match := _DECIMAL.match(kind):
        precision, fraction = int(match[1]), int(match[2])
        whole, scale = max(whole, precision - fraction), max(scale, fraction)
    elif kind in _WHOLE_DIGITS:
        whole = max(whole, _WHOLE_DIGITS[kind])
    else:
        return None
    return f"decimal({whole + scale},{scale})" if whole + scale <= _MOST_DIGITS else None


def _digits(pg_type: str) -> tuple[int, int] | None:
    match = _NUMERIC.match(pg_type)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    return (precision, scale) if precision <= _MOST_DIGITS and 0 <= scale <= precision else None
