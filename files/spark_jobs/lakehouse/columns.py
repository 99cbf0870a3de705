"""The columns of silver's tables when those of the source change. Pure.

A new column is added, null in what was there before. One that the source dropped stays, null in versions
from then on. A type becomes a wider one. What was renamed, or has become what it cannot become, stops the
table until somebody says that it may be made anew; another key, too, since it makes other rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from lakehouse import layout, pgtypes
from lakehouse.config import Table
from lakehouse.retry import NeedsSomebody


class ColumnError(NeedsSomebody):
    """A change of columns that needs somebody; the message says what for."""


def business(columns: Mapping[str, str]) -> dict[str, str]:
    """Those of a silver table's columns, with their types, that are the source's."""
    ours = {*layout.HISTORY_COLUMNS, *layout.HIDDEN_COLUMNS}
    return {name: kind for name, kind in columns.items() if name not in ours}


def differences(
    table: Table, there: Mapping[str, str], numbers: Mapping[str, int], key: Collection[str] = ()
) -> Iterator[str]:
    """What to do to a silver table so that it takes the source's rows.

    Args:
        table: The table as the source has it.
        there: The types of the silver table's columns.
        numbers: The numbers that PostgreSQL gave to the columns which were declared last.
        key: The columns of the key that its rows were made with; empty: it has none yet.

    Returns:
        Clauses of ALTER TABLE.

    Raises:
        ColumnError: A column was renamed, or its type became another one, or the key did.
    """
    known = {number: name for name, number in numbers.items()}
    for column in table.columns:
        kind, name = pgtypes.spark_type(column.type), layout.quoted(column.name)
        before = known.get(column.number or 0, column.name)
        if before != column.name:
            raise ColumnError(_message(table, f"its column {before} is called {column.name} now"))
        if column.name not in there:
            yield f"ADD COLUMN {name} {kind}"
        elif kind != there[column.name] and not pgtypes.is_wider(there[column.name], than=kind):
            if not pgtypes.is_wider(kind, than=there[column.name]):
                change = f"its column {column.name} was {there[column.name]} and is {column.type} now"
                raise ColumnError(_message(table, change))
            yield f"ALTER COLUMN {name} TYPE {kind}"
    if key and {*key} != {*table.key}:
        raise ColumnError(_message(table, f"its key was {', '.join(key)} and is {', '.join(table.key)} now"))


def _message(table: Table, change: str) -> str:
    return (
        f"{table.name}: {change}. Its events are kept in bronze. Change it back, or make silver anew: "
        "resnapshot.yml for this table, then rebuild.yml, then site.yml"
    )
