"""Metabase's templates in SQL, ``{{parameter}}`` and ``[[clause]]``, filled with the parameters' defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import (
    TOKEN,
    template_problem,
)

from dashboard_preview.definition import Parameter


class TemplateError(Exception):
    """A template that cannot be filled; the message names the parameter and the way out."""


def fill(sql: str, parameters: Iterable[Parameter]) -> str:
    """The SQL with each parameter's default as a literal of Spark SQL.

    A clause in ``[[…]]`` is left out when a parameter in it has no value.

    Raises:
        TemplateError: A parameter is unknown, or has no value where it needs one or one of another type; or
            the SQL is no template that Metabase understands.
    """
    by_slug = {parameter.slug: parameter for parameter in parameters}
    done: list[str] = []
    clause: list[str] | None = None
    missing = False
    if problem := template_problem(sql):
        raise TemplateError(problem)
    for token in TOKEN.split(sql):
        into = done if clause is None else clause
        if token == "[[":  # noqa: S105
            clause, missing = [], False
        elif token == "]]" and clause is not None:  # noqa: S105
            done += [] if missing else clause
            clause = None
        elif not token.startswith("{{"):
            into.append(token)
        else:
            parameter = _named(token[2:-2].strip(), by_slug)
            if parameter.default is None:
                missing = True
                if clause is None:
                    raise TemplateError(
                        f"parameter {parameter.slug} has no default and stands outside of [[…]]; give it one"
                    )
            else:
                into.append(literal(parameter))
    return "".join(done)


def literal(parameter: Parameter) -> str:
    """A parameter's default in Spark SQL; of a list the values with commas between them.

    Raises:
        TemplateError: The type is unknown, or the value is none of its kind.
    """
    try:
        write = _WRITERS[parameter.type]
    except KeyError:
        raise TemplateError(
            f"parameter {parameter.slug} has the type {parameter.type!r}; choose of {', '.join(_WRITERS)}"
        ) from None
    values = parameter.default if isinstance(parameter.default, list) else [parameter.default]
    try:
        return ", ".join(write(value) for value in values)
    except (ValueError, InvalidOperation):
        raise TemplateError(
            f"parameter {parameter.slug} has the default {parameter.default!r}, which is no {parameter.type}"
        ) from None


def _named(slug: str, parameters: Mapping[str, Parameter]) -> Parameter:
    if slug not in parameters:
        known = ", ".join(parameters) or "none"
        raise TemplateError(f"{{{{{slug}}}}} is no parameter of the dashboard; it has: {known}")
    return parameters[slug]


def _date(value: Any) -> str:
    return f"date '{date.fromisoformat(str(value)).isoformat()}'"


def _number(value: Any) -> str:
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(value)
    return f"{number:f}"


def _string(value: Any) -> str:
    """A text literal. Spark replaces ${…} in a statement before it reads the literals: no $ is left to it."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"


_WRITERS: dict[str, Callable[[Any], str]] = {"date/single": _date, "number/=": _number, "string/=": _string}
