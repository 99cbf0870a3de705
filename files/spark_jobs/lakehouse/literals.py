"""The values that somebody writes down to compare a column with: checked, and as SQL. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from lakehouse import pgtypes
from lakehouse.layout import quoted

_BITS = {"smallint": 15, "int": 31, "bigint": 63}
_EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation])
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:/@+*?^|()[]<>=!#&~")


def text(value: str) -> str:
    """A text as SQL that no setting reads in another way, `${…}` included."""
    escaped = (
        char if char in _PLAIN else f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"
        for char in value
    )
    return f"'{''.join(escaped)}'"


class ColumnType:
    """How a column's values are written and compared.

    Attributes:
        pg_type: The column's type in PostgreSQL.
        is_text: Whether its values are texts.
        is_padded: Whether its texts have blanks at their ends that mean nothing.
        is_ordered: Whether one of its values may be more than another.
        has_values: Whether its values can be written down at all.
    """

    def __init__(self, pg_type: str) -> None:
        """Prepare.

        Args:
            pg_type: PostgreSQL's format_type() text.
        """
        self.pg_type = pg_type
        stored = pgtypes.spark_type(pg_type)
        # Silver has it as text, since no decimal holds every value.
        self._number_as_text = stored == "string" and re.match(r"numeric(\(|$)", pg_type) is not None
        self._compared = "double" if self._number_as_text else stored
        self._parse = self._parsers.get(self._compared.partition("(")[0])
        self.is_text = self._compared == "string"
        self.is_padded = re.fullmatch(r"character(\(\d+\))?|bpchar", pg_type) is not None
        self.has_values = self._parse is not None
        self.is_ordered = self.has_values and self._compared not in ("string", "boolean")

    def value(self, setting: str, value: Any) -> Any:
        """A value that was written down, so that it can be compared with others of the column.

        Raises:
            ValueError: It is none of the column's type; the message begins with `setting`.
        """
        if isinstance(value, date):  # as YAML reads it without quotes
            value = value.isoformat()
        try:
            assert self._parse is not None
            return self._parse(value)
        except (TypeError, ValueError, Inexact, InvalidOperation):
            way_out = "quote it" if self.is_text else "correct it"
            raise ValueError(
                f"{setting} is {value!r}, which is no {self.pg_type} as the column is; {way_out}"
            ) from None

    def literal(self, value: Any) -> str:
        """What `value` gave, as SQL."""
        if isinstance(value, str):
            return text(value.rstrip(" ") if self.is_padded else value)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, date):
            value = value.isoformat()
        elif isinstance(value, Decimal):
            value = f"{value:f}"
        return f"CAST('{value}' AS {self._compared})"

    def operand(self, column: str) -> str:
        """The column, as it is compared."""
        if self.is_padded:
            return f"rtrim({quoted(column)})"
        return f"try_cast({quoted(column)} AS double)" if self._number_as_text else quoted(column)

    @property
    def _parsers(self) -> dict[str, Callable[[Any], Any]]:
        return {
            **dict.fromkeys(_BITS, self._integer),
            "decimal": self._decimal,
            **dict.fromkeys(("float", "double"), _finite),
            "boolean": lambda value: _of_type(value, bool),
            "date": lambda value: date.fromisoformat(_of_type(value, str)),
            "timestamp": lambda value: _moment(value, zoned=True),
            "timestamp_ntz": lambda value: _moment(value, zoned=False),
            "string": lambda value: _of_type(value, str),
        }

    def _integer(self, value: Any) -> int:
        bound = 1 << _BITS[self._compared]
        if not -bound <= _of_type(value, int) < bound:
            raise ValueError(value)
        return int(value)

    def _decimal(self, value: Any) -> Decimal:
        precision, scale = (int(digits) for digits in re.findall(r"\d+", self._compared))
        if isinstance(value, bool):
            raise ValueError(value)
        number = Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), context=_EXACT)
        if not number.is_finite() or abs(number) >= 10 ** (precision - scale):
            raise ValueError(value)
        return number


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(value)
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _moment(value: Any, *, zoned: bool) -> datetime:
    moment = datetime.fromisoformat(_of_type(value, str))
    if zoned:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment.tzinfo:
        raise ValueError(value)
    return moment
