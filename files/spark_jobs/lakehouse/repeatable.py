"""Refuses gold models whose rows a full computation could give in another way than a refresh by keys.

Judged by Spark's own analysis of the queries, so what is behind an alias, in a subquery or a view counts,
and what only looks like it in a text or comment does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.models import Model, ModelError, refuse_keys

_CLOCKS = {"CurrentDate", "CurrentTimestamp", "CurrentBatchTimestamp", "LocalTimestamp", "CurrentTime", "Now"}
_SUMS = {"Sum", "Average"}
_ORDERLESS = {
    "Count", "CountIf", "Min", "Max", "BoolAnd", "BoolOr", "BitAndAgg", "BitOrAgg", "BitXorAgg",
    "HyperLogLogPlusPlus", "Percentile", "Median", "PercentileCont", "PercentileDisc", "PivotFirst",
}  # fmt: skip
_COLLECTED = {"CollectList", "CollectSet"}
_SORTING = {"SortArray", "ArraySort", "Size"}
_PARTS = {"GlobalLimit", "LocalLimit", "LimitAll", "Offset", "Sample"}
_SUBQUERIES = {"Exists", "ListQuery", "ScalarSubquery", "LateralSubquery"}
_TIMES = {"date", "timestamp", "timestamp_ntz"}
_FLOATING = {"float", "double"}
_MOVING_WORD = re.compile(r"'\s*(now|today|tomorrow|yesterday)\b", re.IGNORECASE)

_OTHER_VALUE = (
    "gives another value in each run; take it from a column, or leave it to the query that reads gold"
)


def refuse_unrepeatable(spark: SparkSession, model: Model, current: Mapping[str, DataFrame]) -> None:
    """Checks a model.

    Args:
        spark: The session.
        model: The model.
        current: The current rows of all its silver tables.

    Raises:
        ModelError: It could differ from a full computation, or its keys do not tell its rows apart.
    """
    sources: dict[str, Any] = {name: current[name] for name in model.sources}
    queries = {"the query": spark.sql(model.query, **sources)}
    for name, keys in model.changes.items():
        queries[f"changes of {name}"] = spark.sql(keys, changes=current[name], **sources)
    for place, rows in queries.items():
        execution = rows._jdf.queryExecution()
        for reason in chain(_other_tables(execution.logical()), _reasons(execution.analyzed())):
            raise ModelError(f"{model.name}.sql: in {place}, {reason}")
    refuse_keys(model, dict(queries["the query"].dtypes))


def _other_tables(plan: Any) -> Iterator[str]:
    """What a query as it was written reads beside silver's tables, which Python gives names of one part."""
    if _name(plan) == "UnresolvedRelation" and plan.multipartIdentifier().size() > 1:
        yield (
            f"{_seq(plan.multipartIdentifier())[-1]} is no table of silver, and nothing tells when it "
            "changes; capture it (lakehouse_tables), or write its rows into the query: VALUES"
        )
    within = _seq(plan.innerChildren()) if _name(plan) == "UnresolvedWith" else []
    for part in [*_seq(plan.children()), *_seq(plan.subqueries()), *within]:
        yield from _other_tables(part)


def _reasons(plan: Any) -> Iterator[str]:
    """Why a logical plan may give something else the next time."""
    if _name(plan) in _PARTS:
        yield (
            "LIMIT, OFFSET or TABLESAMPLE keeps other rows when a row comes that no key tells of; leave it "
            "to the query that reads gold"
        )
    children = _seq(plan.children())
    if children:  # a relation has only columns
        for expression in _seq(plan.expressions()):
            yield from _in_expression(expression, ())
    for part in [*children, *_seq(plan.subqueries())]:
        yield from _reasons(part)


def _in_expression(expression: Any, above: tuple[Any, ...]) -> Iterator[str]:
    name = _name(expression)
    if name == "AttributeReference":
        return
    if name in _CLOCKS:
        yield f"{_shown(expression)} {_OTHER_VALUE}"
    elif name == "Literal":
        yield from _moving_literal(expression, above)
    elif name == "AggregateExpression":
        yield from _aggregate(expression.aggregateFunction(), above)
    children = _seq(expression.children())
    by_itself = not expression.deterministic() and all(child.deterministic() for child in children)
    if by_itself and name not in _SUBQUERIES:  # what is in those the plan tells
        yield f"{_shown(expression)} {_OTHER_VALUE}"
    for child in children:
        yield from _in_expression(child, (*above, expression))


def _moving_literal(literal: Any, above: tuple[Any, ...]) -> Iterator[str]:
    """`date 'today'` is a literal when it has been parsed, and `to_timestamp('now')` becomes one."""
    kind = literal.dataType().typeName()
    becomes_time = kind == "string" and above and above[-1].dataType().typeName() in _TIMES
    text = _written(literal) if kind in _TIMES else str(literal.sql()) if becomes_time else ""
    if _MOVING_WORD.search(text):
        yield f"{text} {_OTHER_VALUE}"


def _shown(expression: Any) -> str:
    return _written(expression) or str(expression.sql())


def _written(expression: Any) -> str:
    """What an expression was in the text of the query."""
    origin = expression.origin()
    if origin.sqlText().isEmpty() or origin.startIndex().isEmpty() or origin.stopIndex().isEmpty():
        return ""
    text: str = origin.sqlText().get()
    return text[origin.startIndex().get() : origin.stopIndex().get() + 1]


def _aggregate(function: Any, above: tuple[Any, ...]) -> Iterator[str]:
    name, parent = _name(function), _name(above[-1]) if above else ""
    if name in _SUMS:
        kind = _seq(function.children())[0].dataType().typeName()
        if name == "Average" and kind == "long":
            yield (
                f"{_shown(function)} adds numbers of type bigint as doubles, and a large sum of such depends "
                "on the order in which the rows come; cast them to a decimal, for instance decimal(20, 0)"
            )
        if kind in _FLOATING:
            yield (
                f"{_shown(function)} adds numbers of type {kind}, and their sum depends on the order in "
                "which the rows come; cast them to a decimal, for instance decimal(18, 6)"
            )
    elif name not in _ORDERLESS and not (
        (name in _COLLECTED and parent in _SORTING)
        or (parent == "WindowExpression" and _is_ordered(above[-1]))
        or (name == "ListAgg" and any(_name(child) == "SortOrder" for child in _seq(function.children())))
    ):
        yield (
            f"{_shown(function)} depends on the order in which the rows come, or is not known not to; say it "
            "with count, sum, min, max, sort_array(collect_list(x)), max(struct(time, x)).x, or listagg(x) "
            "WITHIN GROUP (ORDER BY x)"
        )


def _is_ordered(window: Any) -> bool:
    return any(_name(child) == "SortOrder" for child in _seq(window.windowSpec().children()))


def _name(node: Any) -> str:
    name: str = node.getClass().getSimpleName()
    return name


def _seq(scala: Any) -> list[Any]:
    iterator, found = scala.iterator(), []
    while iterator.hasNext():
        found.append(iterator.next())
    return found
