"""Which names of tables and columns the lakehouse can take. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable

from lakehouse import layout

_OF_DELTA = ("_change_type", "_commit_version", "_commit_timestamp")
RESERVED = frozenset({*layout.HISTORY_COLUMNS, *layout.HIDDEN_COLUMNS, layout.PLACE, *_OF_DELTA})
"""Names of columns that silver and Delta have for their own."""

_NOT_IN_DELTA = " ,;{}()\n\t="


class WrongName(ValueError):
    """A name that cannot be taken, or is none; the message says which, and the way out."""


def short_name(table: str) -> str:
    """A table's name in silver: `orders` for public.orders, `sales_orders` for sales.orders."""
    schema, _, name = table.partition(".")
    return name if schema == "public" else f"{schema}_{name}"


def check_columns(table: str, columns: Iterable[str]) -> None:
    """Checks the names of a table's columns.

    Raises:
        WrongName: One is taken already, or Delta has no such names.
    """
    seen: dict[str, str] = {}
    for name in columns:
        twin = seen.setdefault(name.lower(), name)
        way = f"Rename it in the source, or leave it out: exclude: [{json.dumps(name, ensure_ascii=False)}]"
        if name.lower() in RESERVED:
            fault = "is a name that silver's tables have for their own"
        elif found := [sign for sign in _NOT_IN_DELTA if sign in name]:
            fault = f"has {found[0]!r} in its name, which Delta's columns cannot"
        elif twin != name:
            fault = f"differs from {twin} in upper and lower case alone, which Spark does not tell apart"
            way = "Rename one of them in the source"
        else:
            continue
        raise WrongName(f"{table}: its column {name} {fault}. {way}")


def check_tracked(table: str, tracked: Iterable[str], columns: Collection[str]) -> None:
    """Checks that a table has the columns whose changes are to make new versions.

    Raises:
        WrongName: It lacks one.
    """
    for name in tracked:
        if name not in columns:
            raise WrongName(
                f"{table}: tracked_columns has {name!r}, which is no column that is published (any more); "
                f"choose from {', '.join(columns)}, or take it out"
            )


def check_tables(tables: Iterable[str]) -> None:
    """Checks that no table would get in the way of another's tables and views.

    Args:
        tables: Their names in the source.

    Raises:
        WrongName: One does.
    """
    owners = {"change_events": "bronze", "quarantine": "bronze"}
    for table in tables:
        short = short_name(table)
        for name in (short, f"{short}_history", f"{short}_versions"):
            other = owners.setdefault(name.lower(), table)
            if other != table:
                raise WrongName(f"{table} and {other} would both have {name} in the lakehouse; remove one")


def main() -> int:
    """Judges the columns that the source has; 1, and the first error in one line, when one is wrong.

    Reads from standard input JSON: `tables` as in lakehouse_tables, and of those that the source has
    `columns`, each with its name, by the table's name.
    """
    told = json.load(sys.stdin)
    try:
        check_tables(table["name"] for table in told["tables"])
        for table in told["tables"]:
            if columns := [column["name"] for column in told["columns"].get(table["name"], [])]:
                check_columns(table["name"], columns)
                check_tracked(table["name"], table.get("tracked_columns", []), columns)
    except WrongName as error:
        print(f"lakehouse_tables: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
