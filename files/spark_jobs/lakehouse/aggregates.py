"""Splits a gold model's query into what can be kept up to date by adding and taking away. Pure.

A query `SELECT keys, f(aggregates) FROM rows GROUP BY keys` is two: the rows that are aggregated, which
follow the changes of silver one by one, and what is made of the aggregates of a group. Between them stand
the partial aggregates that `partials` keeps. This is incremental view maintenance by counting (Gupta,
Mumick, Subrahmanian: Maintaining Views Incrementally, SIGMOD 1993).

Not every query can be split: `split` gives None for one with a window, DISTINCT, a subquery in an
expression, an outer join other than LEFT or an aggregate that it does not know. Such a model is computed
anew for the keys that changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter

import sqlglot
from sqlglot import exp

from lakehouse.models import Model

KEY, ARGUMENT, RESULT = "_key", "_argument", "_result"
"""How the columns of a split query begin; a number follows."""

JOINED, ROW = "_joined", "_row"
"""So begin tables of joined rows, and their columns, of which each has a row of a table; a number follows."""

SIDE = "_side"
"""The column of every table, and of the rows, that tells rows as they were from rows as they are: only rows
of the same side are joined, so that one query serves both."""

_MARK = "_silver_"
_Columns = Mapping[str, Collection[str]]
_KINDS: dict[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.CountIf: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
}
_PLAIN = {"expressions", "from_", "joins", "where"}
_OVER_ROWS = (exp.AggFunc, exp.Window, exp.Subquery, exp.Select, exp.UDTF, exp.Lateral, exp.Placeholder)


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a query.

    Attributes:
        kind: `count`, `sum`, `avg`, `min`, `max` or `distinct`, the number of different values.
        argument: Which argument it is of, by number. Where that is NULL, the row does not count.
    """

    kind: str
    argument: int


@dataclass(frozen=True)
class Join:
    """Which rows of one table belong to which of another one.

    Attributes:
        left: The table on the one side.
        left_columns: Its columns.
        right: The table on the other side.
        right_columns: Its columns, which equal those.
        outer: Whether rows of the left side without any of the right one count, too.
    """

    left: str
    left_columns: tuple[str, ...]
    right: str
    right_columns: tuple[str, ...]
    outer: bool


@dataclass(frozen=True)
class Joined:
    """How rows are joined that a query takes as one table, `{_joined0}`, …: of the columns `_row0`, ….

    Attributes:
        first: The first table.
        joins: What joins the further ones, in their order.
    """

    first: str
    joins: tuple[Join, ...]

    @property
    def tables(self) -> list[str]:
        """The tables, in the order of their columns."""
        return [self.first, *dict.fromkeys(join.right for join in self.joins)]


@dataclass(frozen=True)
class Split:
    """A query that is split.

    Attributes:
        rows: The SELECT that gives `_key0`, …, `_argument0`, … and `_side` of the rows that are aggregated.
        joined_rows: The same where rows are joined before, as far as they can be: what Spark joins takes
            jobs, which cost more than all else about few rows.
        joined: Those joins.
        result: The SELECT that makes the model's rows of `{groups}`, which has `_key0`, … and `_result0`, ….
        whole: The query as it was understood: written anew, it must mean the same to Spark.
        keys: The names that the keys have in the model, in the order of `_key0`, ….
        aggregates: What `_result0`, … are.
        columns: The columns that it reads of each table.
        joins: How rows of several tables come together: of each SELECT in it that has several.
    """

    rows: str
    joined_rows: str
    joined: tuple[Joined, ...]
    result: str
    whole: str
    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    columns: Mapping[str, tuple[str, ...]]
    joins: tuple[tuple[Join, ...], ...]


class _CannotError(Exception):
    """The query cannot be split."""


def split(model: Model, columns: Mapping[str, Collection[str]]) -> Split | None:
    """Splits a model's query.

    Args:
        model: The model.
        columns: The columns of each silver table that it reads.

    Returns:
        The parts; None: it cannot be split.
    """
    try:
        return _split(model, columns)
    except (_CannotError, sqlglot.errors.SqlglotError):
        return None


def _split(model: Model, columns: _Columns) -> Split:
    query = sqlglot.parse_one(_marked(model.query), read="spark")
    if not isinstance(query, exp.Select):
        raise _CannotError
    whole = _text(query)
    if any(_is_columns(star) for star in query.find_all(exp.Star)) or _has_side(columns):
        raise _CannotError  # the side is a column, too
    _refuse_other_clauses(query, _PLAIN | {"group", "having"})
    _refuse_over_rows(query.args.get("where"))
    joins = tuple(dict.fromkeys(filter(None, _joins(query, columns))))
    group = _group(query)
    named = {item.alias_or_name: item.unalias() for item in query.expressions}
    called = [[name for name, item in named.items() if item == part] for part in group]
    names = [name for names in called for name in names]
    if any(len(names) != 1 for names in called) or set(names) != set(model.keys):
        raise _CannotError
    if len(named) != len(query.expressions):
        raise _CannotError
    arguments: list[exp.Expr] = []
    aggregates: list[Aggregate] = []
    result = exp.select(*(_of_groups(item, group, arguments, aggregates) for item in query.expressions))
    result = result.from_(exp.to_table(f"{_MARK}groups"))
    if having := query.args.get("having"):
        result = result.where(_of_groups(having.this, group, arguments, aggregates))
    rows = exp.select(
        *(exp.alias_(part.copy(), f"{KEY}{place}") for place, part in enumerate(group)),
        *(exp.alias_(part.copy(), f"{ARGUMENT}{place}") for place, part in enumerate(arguments)),
    )
    for clause in ("from_", "joins", "where"):
        rows.set(clause, query.args.get(clause))
    rows, joined_rows, joined = rows.copy(), rows.copy(), list[Joined]()
    _join_before(joined_rows, columns, joined)
    for select in (rows, joined_rows):
        select.append("expressions", exp.alias_(_add_side(select), SIDE))
    return Split(
        rows=_text(rows),
        joined_rows=_text(joined_rows),
        joined=tuple(joined),
        result=_text(result),
        whole=whole,
        keys=tuple(names),
        aggregates=tuple(aggregates),
        columns=_read(query, columns),
        joins=joins,
    )


def _is_columns(star: exp.Star) -> bool:
    """Whether a star means all columns, or some: in `count(*)` it means rows."""
    return not isinstance(star.parent, exp.Count) or any(star.args.values())


def _has_side(columns: _Columns) -> bool:
    return any(name.lower() == SIDE for names in columns.values() for name in names)


def _join_before(query: exp.Select, columns: _Columns, joined: list[Joined]) -> None:
    """Has a query take rows that are joined already, wherever that can be done."""
    source = query.args["from_"].this
    if isinstance(source, exp.Subquery):
        for part in _parts(source.this):
            _join_before(part, columns, joined)
    elif query.args.get("joins"):
        try:
            joined.append(_take_joined(query, columns, f"{JOINED}{len(joined)}"))
        except _CannotError:  # Spark has to join them
            return


def _take_joined(query: exp.Select, columns: _Columns, name: str) -> Joined:
    """Has a query take the rows of its FROM clause from one table, of the name; gives how they are joined."""
    tables: dict[str, str] = {}
    _add_table(tables, query.args["from_"].this)
    joins: list[Join] = []
    shared: set[str] = set()
    conditions: list[exp.Expr] = []
    for join in query.args["joins"]:
        _add_table(tables, join.this)
        its, on = list(_of_join(join, tables, columns)), join.args.get("on")
        if on is not None and not its[0].outer:
            conditions.append(on)
        elif on is not None and len(list(_conditions(on))) != len(its[0].left_columns):
            raise _CannotError  # it asks for more than equal columns
        joins += its
        shared |= {column.name.lower() for column in join.args.get("using") or []}
    if name in columns:
        raise _CannotError
    aliases = list(tables)
    found = []
    for column in query.find_all(exp.Column):
        of = aliases
        if column.name.lower() in shared and not column.table:  # where they differ, the left one counts
            of = [next(alias for alias in aliases if _has(columns[tables[alias]], column.name))]
        alias, _ = _resolved(column, of, tables, columns)
        found.append((column, exp.column(column.this.copy(), f"{ROW}{aliases.index(alias)}")))
    for column, of_row in found:
        column.replace(of_row)
    query.set("from_", exp.From(this=exp.to_table(f"{_MARK}{name}")))
    query.set("joins", None)
    query.where(*conditions, copy=False)
    return Joined(tables[aliases[0]], tuple(joins))


def _has(names: Collection[str], name: str) -> bool:
    return any(one.lower() == name.lower() for one in names)


def _parts(part: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs of a subquery in a FROM clause."""
    if isinstance(part, exp.Select):
        yield part
        return
    yield from _parts(part.this)
    if isinstance(part, exp.Union):
        yield from _parts(part.expression)


def _marked(query: str) -> str:
    """The query with names in place of `{table}`."""
    parts = Formatter().parse(query)
    return "".join(text + (f"{_MARK}{field}" if field else "") for text, field, _, _ in parts)


def _text(query: exp.Expr) -> str:
    """The text of a query, with `{table}` again."""
    text = query.sql(dialect="spark", identify=False).replace("{", "{{").replace("}", "}}")
    for table in sorted({table.name for table in query.find_all(exp.Table)}, key=len, reverse=True):
        text = text.replace(table, f"{{{table.removeprefix(_MARK)}}}")
    return text


def _refuse_other_clauses(query: exp.Select, known: Collection[str]) -> None:
    if any(value for clause, value in query.args.items() if clause not in known):
        raise _CannotError


def _refuse_over_rows(part: exp.Expr | None) -> None:
    """What is more than an expression over the columns of one row."""
    if part is not None and part.find(*_OVER_ROWS):
        raise _CannotError


def _group(query: exp.Select) -> list[exp.Expr]:
    group = query.args.get("group")
    if group is None or any(value for clause, value in group.args.items() if clause != "expressions"):
        raise _CannotError
    parts = []
    for part in group.expressions:
        if part.is_int:
            part = query.expressions[part.to_py() - 1].unalias()
        _refuse_over_rows(part)
        parts.append(part)
    return parts


def _of_groups(
    item: exp.Expr,
    group: list[exp.Expr],
    arguments: list[exp.Expr],
    aggregates: list[Aggregate],
) -> exp.Expr:
    """An expression of the query as one of keys and results; notes the aggregates that it needs."""

    def replace(node: exp.Expr) -> exp.Expr:
        if node in group:
            return exp.column(f"{KEY}{group.index(node)}")
        if isinstance(node, exp.Filter):
            return result(node.this, node.expression.this)
        if isinstance(node, exp.AggFunc):
            return result(node, None)
        if isinstance(node, (exp.Column, exp.Star, *_OVER_ROWS)):
            raise _CannotError
        return node

    def result(function: exp.Expr, condition: exp.Expr | None) -> exp.Expr:
        kind, argument = _argument(function, condition)
        _refuse_over_rows(argument)
        if argument not in arguments:
            arguments.append(argument)
        aggregate = Aggregate(kind, arguments.index(argument))
        if aggregate not in aggregates:
            aggregates.append(aggregate)
        return exp.column(f"{RESULT}{aggregates.index(aggregate)}")

    name = item.alias_or_name
    changed = item.unalias().copy().transform(replace)
    return exp.alias_(changed, name, quoted=True) if name else changed


def _argument(function: exp.Expr, condition: exp.Expr | None) -> tuple[str, exp.Expr]:
    """The kind of an aggregate, and what it is of."""
    kind = _KINDS.get(type(function))
    if kind is None:
        raise _CannotError
    given = {name for name, value in function.args.items() if value} - {"this", "big_int"}
    if given:
        raise _CannotError  # count(a, b), max(x, n)
    of = function.this
    if isinstance(function, exp.CountIf):
        condition = of if condition is None else exp.and_(of, condition)
        of = exp.Literal.number(1)
    elif isinstance(of, exp.Star):
        of = exp.Literal.number(1)
    elif kind == "count" and not isinstance(of, (exp.Distinct, exp.Literal)):
        there = exp.paren(of).is_(exp.null()).not_()  # of whatever type it is; NOT binds less than IS
        condition = there if condition is None else exp.and_(there, condition)
        of = exp.Literal.number(1)
    elif isinstance(of, exp.Distinct):
        if kind not in ("count", "min", "max") or len(of.expressions) != 1 or of.args.get("on"):
            raise _CannotError
        kind = "distinct" if kind == "count" else kind
        of = of.expressions[0]
    if condition is not None:
        of = exp.Case().when(condition, of)
    return kind, of


def _joins(query: exp.Select, columns: _Columns) -> Iterator[tuple[Join, ...]]:
    """The joins of a FROM clause, or of each of its subqueries."""
    source, joins = query.args["from_"].this if query.args.get("from_") else None, query.args.get("joins")
    if isinstance(source, exp.Subquery) and not joins and not _more_than(source, {"this", "alias"}):
        yield from _joins_of_part(source.this, columns)
        return
    tables: dict[str, str] = {}
    found: list[Join] = []
    _add_table(tables, source)
    for join in joins or []:
        _add_table(tables, join.this)
        found += _of_join(join, tables, columns)
    yield tuple(found)


def _joins_of_part(part: exp.Expr, columns: _Columns) -> Iterator[tuple[Join, ...]]:
    if isinstance(part, exp.Subquery) and not _more_than(part, {"this"}):
        yield from _joins_of_part(part.this, columns)
    elif isinstance(part, exp.Union) and not _more_than(part, {"this", "expression"}):
        yield from _joins_of_part(part.this, columns)
        yield from _joins_of_part(part.expression, columns)
    elif isinstance(part, exp.Select):
        _refuse_other_clauses(part, _PLAIN)
        for item in [*part.expressions, part.args.get("where")]:
            _refuse_over_rows(item)
        yield from _joins(part, columns)
    else:
        raise _CannotError


def _add_side(query: exp.Select) -> exp.Expr:
    """Joins only rows of the same side; gives the column that tells it."""
    source = query.args["from_"].this
    if isinstance(source, exp.Subquery):
        for part in _parts(source.this):
            part.append("expressions", exp.alias_(_add_side(part), SIDE))
        return exp.column(SIDE)
    joins = query.args.get("joins") or []
    first = exp.column(SIDE, table=source.alias_or_name if joins else None)
    for join in joins:
        if join.args.get("using"):
            join.append("using", exp.to_identifier(SIDE))
        else:
            same = exp.column(SIDE, table=join.this.alias_or_name).eq(first.copy())
            join.set("on", exp.and_(join.args["on"], same))
    return first


def _more_than(node: exp.Expr, known: Collection[str]) -> bool:
    return any(value for name, value in node.args.items() if name not in known)


def _add_table(tables: dict[str, str], source: exp.Expr | None) -> None:
    if not isinstance(source, exp.Table) or _more_than(source, {"this", "alias"}):
        raise _CannotError
    alias, table = source.alias_or_name.lower(), source.name.removeprefix(_MARK)
    if table == source.name or alias in tables or table in tables.values():
        raise _CannotError
    tables[alias] = table


def _of_join(join: exp.Join, tables: Mapping[str, str], columns: _Columns) -> Iterator[Join]:
    """The join of one more table: by columns of those that came before it."""
    new, outer = join.this.alias_or_name.lower(), join.side == "LEFT"
    if join.kind not in ("", "INNER", "OUTER") or join.side not in ("", "LEFT") or join.method:
        raise _CannotError
    before = [alias for alias in tables if alias != new]
    pairs: dict[str, set[tuple[str, str]]] = {}
    for name in join.args.get("using") or []:
        other, left = _resolved(exp.column(name.name), before, tables, columns)
        _, right = _resolved(exp.column(name.name), [new], tables, columns)
        pairs.setdefault(other, set()).add((left, right))
    on = join.args.get("on")
    _refuse_over_rows(on)
    for part in _conditions(on):
        sides = [part.this, part.expression] if isinstance(part, exp.EQ) else []
        if sides and all(isinstance(side, exp.Column) for side in sides):
            found = dict(_resolved(side, list(tables), tables, columns) for side in sides)
            if new in found and len(found) > 1:
                (other,) = found.keys() - {new}
                pairs.setdefault(other, set()).add((found[other], found[new]))
    # Rows that belong together have to be found, and an outer join needs all of them at once.
    if not pairs or (outer and len(pairs) > 1):
        raise _CannotError
    for other, equal in pairs.items():
        left_columns, right_columns = zip(*sorted(equal), strict=True)
        yield Join(tables[other], left_columns, tables[new], right_columns, outer)


def _conditions(on: exp.Expr | None) -> Iterator[exp.Expr]:
    """What all has to be true in an ON clause."""
    if on is not None:
        yield from on.flatten() if isinstance(on, exp.And) else [on]


def _resolved(
    column: exp.Expr, aliases: list[str], tables: Mapping[str, str], columns: _Columns
) -> tuple[str, str]:
    """The alias that a column belongs to, and its name there. Spark does not tell upper from lower case."""
    if alias := column.text("table").lower():
        aliases = [alias] if alias in aliases else []
    found = [
        (alias, name)
        for alias in aliases
        for name in columns[tables[alias]]
        if name.lower() == column.name.lower()
    ]
    if len(found) != 1:
        raise _CannotError
    return found[0]


def _read(query: exp.Select, columns: _Columns) -> dict[str, tuple[str, ...]]:
    """The columns of each table whose names occur."""
    tables = {table.name.removeprefix(_MARK) for table in query.find_all(exp.Table)}
    names = {name.name.lower() for name in query.find_all(exp.Identifier)}
    return {
        table: tuple(name for name in columns[table] if name.lower() in names) for table in sorted(tables)
    }
