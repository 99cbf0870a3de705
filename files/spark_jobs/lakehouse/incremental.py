"""A gold model's rows kept up to date by what changes in silver, where its query allows it.

The part of the query below its aggregates is computed on the rows that changed, as they were and as they
are, each with the rows of other tables that it joins them to. What both give is left out; the rest is taken
from the partial aggregates, and added to them. Spark computes all that is said in SQL, so it means here what
it means when a model is computed in full.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from string import Formatter
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DecimalType

from lakehouse import layout, values
from lakehouse.aggregates import ARGUMENT, JOINED, KEY, RESULT, ROW, SIDE, Aggregate, Joined, Split, split
from lakehouse.config import Config
from lakehouse.jvm import frame, java_class, nothing
from lakehouse.local_store import remove
from lakehouse.models import Model
from lakehouse.partials import Change, Group, Lookups, Partials, PartialsError, Values
from lakehouse.values import Value

_FORMAT = 1
"""To be counted up when what is kept gets another meaning."""

_PART_ROWS = 4_000_000  # that Spark gives to the driver at once
_SLICE = 50_000  # of which Python makes values at once
_WHOLE_NUMBERS = {"smallint", "int", "bigint"}
_KEPT = {*_WHOLE_NUMBERS, "boolean", "string", "date", "timestamp", "timestamp_ntz"}
_BEFORE, _AFTER = -1, 1  # the sides: what a row counts for
_DOUBLE_DIGITS = 15  # Spark takes the mean of decimals that fit by doubles (DecimalAggregates)
_DIGITS = 18  # of decimals that SQLite can compare: as integers
_WIDE = Context(prec=100)

log = logging.getLogger(__name__)

Types = Mapping[str, str]
"""The Spark SQL types of columns."""


@dataclass(frozen=True)
class Changed:
    """Rows of a silver table that changed.

    Attributes:
        before: As they were.
        after: As they are.
    """

    before: pa.Table
    after: pa.Table


class Incremental:
    """A model's query in its parts, and its partial aggregates."""

    def __init__(
        self,
        spark: SparkSession,
        config: Config,
        model: Model,
        sources: Mapping[str, Types],
        parts: Split,
        identity: Mapping[str, Any],
    ) -> None:
        """Use `of`."""
        self._spark = spark
        self._split = parts
        self._sources = sources
        # Of a table all that is read, after its key.
        self._columns = {
            name: tuple(dict.fromkeys([*config.table(name).key, *parts.columns[name]])) for name in sources
        }
        self._key = {name: len(config.table(name).key) for name in sources}
        self._rows_as: dict[str, DataType] = {}
        self._result_as: dict[str, DataType] = {}
        self.columns: list[tuple[str, str]] = []
        """The columns of the model, with their types."""
        by: dict[str, set[tuple[str, ...]]] = {}
        for join in (join for joins in parts.joins for join in joins):
            by.setdefault(join.left, set()).add(join.left_columns)
            by.setdefault(join.right, set()).add(join.right_columns)
        self._joined = tuple(sorted(by))
        told = {"format": _FORMAT, "parts": str(parts), "columns": self._columns, "sources": sources}
        self._partials = Partials(
            state_file(config, model),
            json.dumps({**told, "keys": self._key, **identity}),  # the order of columns counts
            len(parts.keys),
            parts.aggregates,
            {name: Lookups(self._columns[name], self._key[name], tuple(sorted(by[name]))) for name in by},
        )

    @classmethod
    def of(
        cls,
        spark: SparkSession,
        config: Config,
        model: Model,
        sources: Mapping[str, Types],
        identity: Mapping[str, Any],
    ) -> Incremental | None:
        """A model's partial aggregates; None: it cannot be kept up to date by such.

        Args:
            spark: The session.
            config: The pipeline's settings.
            model: The model.
            sources: The columns of all its silver tables.
            identity: What tells the model, and these tables, from others.
        """
        try:
            parts = split(model, sources)
            if parts is not None and _can_look_up(parts, sources):
                found = cls(spark, config, model, sources, parts, identity)
                if found._means(model):
                    return found
                found.close()
        except Exception as error:  # who cannot be split can still be computed
            log.warning("gold.%s: %s", model.name, error)
        remove(state_file(config, model))
        return None

    def _means(self, model: Model) -> bool:
        """Whether the parts together are the query."""
        none: dict[str, Any] = {
            name: self._spark.createDataFrame([], _schema(kinds)) for name, kinds in self._sources.items()
        }
        written, meant = (self._spark.sql(query, **none) for query in (self._split.whole, model.query))
        self._rows_as = _types_by_name(self._present(_after(none)))
        if not self._can_keep():
            return False
        if self._split.joined and not self._can_join_before():
            self._split = replace(self._split, joined_rows=self._split.rows, joined=())
        made = self._spark.sql(self._split.result, groups=self._groups([]))
        self._result_as = _types_by_name(made)
        self.columns = _types(made)
        return bool(_plan(written).sameResult(_plan(meant))) and self.columns == _types(meant)

    def _can_join_before(self) -> bool:
        """Whether Spark reads the query over joined rows as it reads the other one."""
        try:
            query, sources = self._of_few({name: [] for name in self._sources})
            return _types_by_name(self._spark.sql(query, **sources)) == self._rows_as
        except Exception as error:
            log.info("Spark joins what changed: %s", error)
            return False

    def _can_keep(self) -> bool:
        kept = [self._rows_as[f"{KEY}{place}"] for place in range(len(self._split.keys))]
        kept += [self._rows_as[f"{ARGUMENT}{place}"] for place in self._partials.values]
        added = [self._rows_as[f"{ARGUMENT}{place}"] for place in self._partials.sums]
        means = {one.argument for one in self._split.aggregates if one.kind == "avg"}
        return (
            all(_name(kind) in _KEPT or _digits(kind) in range(1, _DIGITS + 1) for kind in kept)
            and all(_name(kind) in _WHOLE_NUMBERS or _digits(kind) for kind in added)
            # Spark adds doubles, which is exact for smaller ones.
            and all(_name(self._rows_as[f"{ARGUMENT}{place}"]) != "bigint" for place in means)
        )

    @property
    def versions(self) -> Mapping[str, int]:
        """The silver versions that the partial aggregates are of; empty when there are none."""
        return self._partials.versions

    def goes_on_from(self, committed: Mapping[str, int]) -> bool:
        """Whether the partial aggregates are those of the model's table.

        Args:
            committed: The silver versions that the table says it is of. Who died right after its commit has
                not noted it; to fold the same changes in again, and later ones with them, would leave out
                the groups that the later ones set back.
        """
        return bool(self.versions) and self._partials.committed == committed

    def note(self, versions: Mapping[str, int], committed: Mapping[str, int]) -> None:
        """Takes note of versions until which none of the model's rows changed."""
        with self._partials.transaction():
            self._partials.note(versions, committed)

    def forget(self) -> None:
        """Forgets the partial aggregates."""
        self._partials.begin_anew()

    def close(self) -> None:
        """Closes their store."""
        self._partials.close()

    def build(
        self,
        current: Mapping[str, DataFrame],
        versions: Mapping[str, int],
        committed: Mapping[str, int],
    ) -> None:
        """Makes the partial aggregates anew.

        Args:
            current: The current rows of the model's silver tables.
            versions: The versions of the tables.
            committed: Those that the model's table says it is of.
        """
        partials = self._partials
        partials.begin_anew()
        parts = 1 + sum(current[name].count() for name in self._sources) // _PART_ROWS
        rows = self._present(_after({name: current[name] for name in self._sources}))
        keys = [f"{KEY}{place}" for place in range(len(self._split.keys))]
        aggregates = [
            F.count("*"),
            *(F.count(f"{ARGUMENT}{argument}") for argument in partials.counts),
            *(F.sum(f"{ARGUMENT}{argument}") for argument in partials.sums),
        ]
        with partials.transaction():
            for some in _in_parts(rows.groupBy(*keys).agg(*aggregates), keys, parts):
                partials.put_groups(_stored(some))
            for argument in partials.values:
                value = f"{ARGUMENT}{argument}"
                occur = rows.where(F.col(value).isNotNull()).groupBy(*keys, value).count()
                for some in _in_parts(occur, [*keys, value], parts):
                    partials.put_values(argument, _stored(some))
            partials.count_distinct()
            for name in self._joined:
                columns = list(map(layout.quoted, self._columns[name]))
                for some in _in_parts(current[name].select(*columns), columns[: self._key[name]], parts):
                    partials.put_rows(name, _plain(some))
            partials.note(versions, committed)

    @contextmanager
    def fold(
        self,
        changes: Mapping[str, Changed],
        versions: Mapping[str, int],
        committed: Callable[[], Mapping[str, int]],
    ) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Folds changes in; what is done in the `with` has to succeed, too.

        Args:
            changes: Of the silver tables that changed, the rows.
            versions: The versions of the model's silver tables that they lead to.
            committed: Tells those that the model's table says it is of, after the `with`.

        Yields:
            The keys of the model's rows that may differ from what they were, and the rows of these keys.
        """
        sides = {name: self._sides(name, changes[name]) for name in changes}
        with self._partials.transaction():
            others = self._related(sides)
            for name in self._joined:
                if name in sides:
                    self._partials.take_rows(name, sides[name][0])
                    self._partials.put_rows(name, sides[name][1])
            difference = self._difference(sides, others)
            groups = self._partials.fold(difference)
            touched = dict.fromkeys(keys for keys, _ in difference)
            yield self._names_of(touched), self._result(groups)
            self._partials.note(versions, committed())

    def _sides(self, name: str, changed: Changed) -> tuple[list[Values], list[Values]]:
        """The rows that went and those that came, but for what is the same in both."""
        columns = list(self._columns[name])
        net = Counter(_plain(changed.after.select(columns)))
        net.subtract(_plain(changed.before.select(columns)))
        came, went = ([row for row, times in net.items() for _ in range(sign * times)] for sign in (1, -1))
        return went, came

    def _related(self, sides: Mapping[str, tuple[list[Values], list[Values]]]) -> dict[str, set[Values]]:
        """The rows that did not change, of those that the model joins to what did.

        An outer join needs, for each row on its left, all rows that belong to it, to know whether there are
        any.
        """
        changed = {name: [*went, *came] for name, (went, came) in sides.items()}
        keys = {name: {row[: self._key[name]] for row in rows} for name, rows in changed.items()}
        found: dict[str, set[Values]] = {name: set() for name in self._sources}

        def look_up(
            name: str, columns: Sequence[str], other: str, others: Sequence[str], rows: Iterable[Values]
        ) -> list[Values]:
            places = [self._columns[name].index(column) for column in columns]
            wanted = {tuple(row[place] for place in places) for row in rows}
            there = self._partials.rows(other, others, (value for value in wanted if None not in value))
            new = [row for row in there if row[: self._key[other]] not in keys.get(other, ())]
            found[other].update(new)
            return new

        for joins in self._split.joins:
            ways = [(one.left, one.left_columns, one.right, one.right_columns) for one in joins]
            ways += [(one.right, one.right_columns, one.left, one.left_columns) for one in joins]
            for name in changed:
                reached, ahead = {name}, [(name, changed[name])]
                while ahead:
                    at, rows = ahead.pop()
                    for left, columns, right, others in ways:
                        if left == at and right not in reached:
                            reached.add(right)
                            ahead.append((right, look_up(left, columns, right, others, rows)))
            for _ in joins:
                for one in (one for one in joins if one.outer):
                    rows = [*changed.get(one.left, ()), *found[one.left]]
                    look_up(one.left, one.left_columns, one.right, one.right_columns, rows)
        return found

    def _difference(
        self, sides: Mapping[str, tuple[list[Values], list[Values]]], others: Mapping[str, set[Values]]
    ) -> dict[Change, int]:
        """What the part below the aggregates gives more of than before, and what less."""
        rows: dict[str, list[Values]] = {}
        for name in self._sources:
            went, came = sides.get(name, ((), ()))
            parts = ((_BEFORE, others[name]), (_BEFORE, went), (_AFTER, others[name]), (_AFTER, came))
            rows[name] = [(*row, side) for side, its in parts for row in its]
        query, sources = self._of_few(rows)
        keys = len(self._split.keys)
        counted: Counter[Change] = Counter()
        for *row, side in _collected(self._spark, query, self._rows_as, sources):
            counted[tuple(row[:keys]), tuple(row[keys:])] += int(side or 0)
        return {change: net for change, net in counted.items() if net}

    def _of_few(self, rows: Mapping[str, Sequence[Values]]) -> tuple[str, dict[str, Any]]:
        """The part below the aggregates, of rows with their sides: the query, and its tables."""
        query = self._with_keys(self._split.joined_rows)
        wanted = {field for _, field, _, _ in Formatter().parse(query)}
        sources: dict[str, Any] = {
            name: self._frame(name, rows[name]) for name in self._sources if name in wanted
        }
        for place, joined in enumerate(self._split.joined):
            sources[f"{JOINED}{place}"] = self._joined_frame(joined, rows)
        return query, sources

    def _with_keys(self, rows: str) -> str:
        """What the part below the aggregates gives, without rows of no key."""
        known = " AND ".join(f"{KEY}{place} IS NOT NULL" for place in range(len(self._split.keys)))
        return f"SELECT * FROM ({rows}) WHERE {known}"  # noqa: S608

    def _present(self, sources: Mapping[str, Any]) -> DataFrame:
        return self._spark.sql(self._with_keys(self._split.rows), **sources)

    def _frame(self, name: str, rows: Sequence[Values]) -> DataFrame:
        """Rows of a table, each with its side."""
        return frame(self._spark, pa.table(self._arrays(name, rows)))

    def _joined_frame(self, joined: Joined, rows: Mapping[str, Sequence[Values]]) -> DataFrame:
        """Rows of several tables, each with the rows that it belongs to, and their side."""
        found = _join(joined, rows, self._columns)
        made: dict[str, pa.Array] = {}
        for place, name in enumerate(joined.tables):
            none = (None,) * (len(self._columns[name]) + 1)
            its = self._arrays(name, [one[place] or none for one in found])
            made[f"{ROW}{place}"] = pa.StructArray.from_arrays(list(its.values()), names=list(its))
        made[SIDE] = pa.array([_side_of(one) for one in found], pa.int32())
        return frame(self._spark, pa.table(made))

    def _arrays(self, name: str, rows: Sequence[Values]) -> dict[str, pa.Array]:
        kinds = {column: self._sources[name][column] for column in self._columns[name]} | {SIDE: "int"}
        columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
        return {
            column: values.to_arrow(its, values.arrow_type(kind))
            for its, (column, kind) in zip(columns, kinds.items(), strict=True)
        }

    def _names_of(self, keys: Iterable[Values]) -> pa.Table:
        """Keys, as the model calls them."""
        return pa.table(self._key_columns(list(keys)), names=list(self._split.keys))

    def _result(self, groups: Sequence[Group]) -> pa.Table:
        sources: dict[str, Any] = {"groups": self._groups(groups)}
        kinds = self._result_as
        if not all(_name(kind) in _KEPT or _digits(kind) for kind in kinds.values()):
            return self._spark.sql(self._split.result, **sources).toArrow()
        found = _collected(self._spark, self._split.result, kinds, sources)
        columns = zip(*found, strict=True) if found else [()] * len(kinds)
        made = [_column(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
        return pa.table(made, names=list(kinds))

    def _key_columns(self, keys: Sequence[Values]) -> list[pa.Array]:
        kinds = [self._rows_as[f"{KEY}{place}"] for place in range(len(self._split.keys))]
        return [_column([key[place] for key in keys], kind) for place, kind in enumerate(kinds)]

    def _groups(self, groups: Sequence[Group]) -> DataFrame:
        """Groups with their aggregates, typed as Spark types them."""
        columns = self._key_columns([group.keys for group in groups])
        made = {f"{KEY}{place}": column for place, column in enumerate(columns)}
        rounded: dict[str, Column] = {}
        for place, one in enumerate(self._split.aggregates):
            name, kind = f"{RESULT}{place}", self._rows_as[f"{ARGUMENT}{one.argument}"]
            made[name] = _aggregated(one, [group.results[place] for group in groups], kind)
            if one.kind == "avg" and _digits(kind) and pa.types.is_floating(made[name].type):
                rounded[name] = F.col(name).cast(_mean_type(kind))
        found = frame(self._spark, pa.table(made))
        return found.withColumns(rounded) if rounded else found


def forget_others(config: Config, present: Iterable[Model]) -> None:
    """Deletes the partial aggregates of models that are gone: they have rows that nobody would erase."""
    names = {model.name for model in present}
    for file in (config.state / "gold").glob("*.sqlite"):
        if file.stem not in names:
            remove(file)


def state_file(config: Config, model: Model) -> Path:
    """Where a model's partial aggregates are."""
    return config.state / "gold" / f"{model.name}.sqlite"


def _aggregated(one: Aggregate, results: Sequence[Any], kind: DataType) -> pa.Array:
    """A column of what an aggregate gives, of arguments of a type (Spark's Sum, Average and Count)."""
    if one.kind in ("count", "distinct"):
        return pa.array(results, pa.int64())
    if one.kind in ("min", "max"):
        return _column(results, kind)
    if one.kind == "sum":
        if not isinstance(kind, DecimalType):
            return pa.array(results, pa.int64())
        return _column(results, DecimalType(min(38, kind.precision + 10), kind.scale))
    if not isinstance(kind, DecimalType) or kind.precision + 4 <= _DOUBLE_DIGITS:
        power = 10.0 ** (kind.scale if isinstance(kind, DecimalType) else 0)
        return pa.array([None if told is None else _mean(*told) / power for told in results], pa.float64())
    mean = _mean_type(kind)
    shift = 10 ** (mean.scale - kind.scale)
    return _column([None if told is None else _rounded(told[0] * shift, told[1]) for told in results], mean)


def _mean(total: int, count: int) -> float:
    if abs(total) >= 1 << 53:
        raise PartialsError(
            "Spark takes a mean by doubles, which are not exact for a sum as large as this one"
        )
    return float(total) / float(count)


def _mean_type(kind: Any) -> DecimalType:
    return DecimalType(min(38, kind.precision + 4), min(38, kind.scale + 4))


def _rounded(number: int, divisor: int) -> int:
    """A quotient rounded half up: away from zero."""
    quotient = (2 * abs(number) + divisor) // (2 * divisor)
    return quotient if number >= 0 else -quotient


_Row = tuple[Values | None, ...]
"""Rows of several tables that belong together; None: of that one there is none."""


def _join(
    joined: Joined, rows: Mapping[str, Iterable[Values]], columns: Mapping[str, Sequence[str]]
) -> list[_Row]:
    """Joins rows that have their side at the end."""
    found: list[_Row] = [(row,) for row in rows[joined.first]]
    for table, its in groupby(joined.joins, attrgetter("right")):
        joins = list(its)
        lefts = [
            (joined.tables.index(join.left), columns[join.left].index(column))
            for join in joins
            for column in join.left_columns
        ]
        rights = [columns[table].index(column) for join in joins for column in join.right_columns]
        by: dict[Values, list[_Row]] = defaultdict(list)
        for row in rows[table]:
            by[row[-1], *(row[at] for at in rights)].append((row,))
        alone: list[_Row] = [(None,)] if joins[0].outer else []
        more: list[_Row] = []
        for one in found:
            value = [None if (left := one[place]) is None else left[at] for place, at in lefts]
            there = None if None in value else by.get((_side_of(one), *value))
            more += [one + row for row in there or alone]
        found = more
    return found


def _side_of(one: _Row) -> Value:
    first = one[0]
    assert first is not None
    return first[-1]


def _column(found: Sequence[Value], kind: DataType) -> pa.Array:
    """A column of values as `_stored` gives them."""
    if isinstance(kind, DecimalType):
        scale = -kind.scale
        found = [None if value is None else f"{Decimal(value).scaleb(scale, _WIDE):f}" for value in found]
    return values.to_arrow(found, values.arrow_type(kind.simpleString()))


def _plain(rows: pa.Table) -> list[Values]:
    """Rows, as values."""
    return list(zip(*map(values.from_arrow, rows.columns), strict=True))


def _stored(rows: pa.Table) -> list[Values]:
    """Rows, as values that can be added and compared: of a decimal its digits, as an integer."""
    columns = [
        [None if value is None else int(str(value).replace(".", "")) for value in values.from_arrow(column)]
        if pa.types.is_decimal(column.type)
        else values.from_arrow(column)
        for column in rows.columns
    ]
    return list(zip(*columns, strict=True))


def _collected(
    spark: SparkSession, query: str, kinds: Mapping[str, DataType], sources: Mapping[str, Any]
) -> list[Values]:
    """What a query gives, few rows with columns of these types, as `_stored` gives them.

    No job is run for what the driver has already, as `toArrow` would.
    """
    columns = ", ".join(_raw(layout.quoted(name), kind) for name, kind in kinds.items())
    columns = columns.replace("{", "{{").replace("}", "}}")  # which mean something to spark.sql()
    found = _in_one(spark.sql(f"SELECT {columns} FROM ({query})", **sources), spark).collect()  # noqa: S608
    scales = {place: kind.scale for place, kind in enumerate(kinds.values()) if isinstance(kind, DecimalType)}
    if not scales:
        return [tuple(row) for row in found]
    return [
        tuple(
            int(value.scaleb(scales[place], _WIDE)) if place in scales and value is not None else value
            for place, value in enumerate(row)
        )
        for row in found
    ]


def _in_one(rows: DataFrame, spark: SparkSession) -> DataFrame:
    """Rows that Spark's optimizer has found already; put together, if they are a union of such."""
    plan = _plan(rows)
    if plan.getClass().getSimpleName() != "Union":
        return rows
    parts = [plan.children().apply(place) for place in range(plan.children().size())]
    if any(part.getClass().getSimpleName() != "LocalRelation" for part in parts):
        return rows
    found = parts[0].data()
    for part in parts[1:]:
        found = found.concat(part.data())
    # Of the union: a column of its first part may have no nulls where that of another one has.
    relation = parts[0].copy(plan.output(), found, False, nothing(spark))
    dataset = java_class(spark, "org.apache.spark.sql.classic.Dataset")
    return DataFrame(dataset.ofRows(spark._jsparkSession, relation), spark)


def _raw(column: str, kind: DataType) -> str:
    """A column as integers or texts, which mean the same in Python in every time zone."""
    match _name(kind):
        case "date":
            return f"unix_date({column})"
        case "timestamp" | "timestamp_ntz":
            return f"unix_micros(CAST({column} AS timestamp))"
        case "boolean":
            return f"CAST({column} AS int)"
    return column


def _in_parts(rows: DataFrame, by: Sequence[str], parts: int) -> Iterator[pa.Table]:
    """The rows, some at a time; they are computed in parts of about the same size, each roughly in order."""
    for part in range(parts):
        some = rows if parts == 1 else rows.where(F.pmod(F.xxhash64(*by), F.lit(parts)) == part)
        found = some.sortWithinPartitions(*by).toArrow()
        for begin in range(0, found.num_rows, _SLICE):
            yield found.slice(begin, _SLICE)


def _can_look_up(parts: Split, sources: Mapping[str, Types]) -> bool:
    """Whether values that are equal in a join are kept as the same."""
    for join in (join for joins in parts.joins for join in joins):
        for left, right in zip(join.left_columns, join.right_columns, strict=True):
            kind = sources[join.left][left]
            if kind != sources[join.right][right] or not (kind in _KEPT or kind.startswith("decimal")):
                return False
    return True


def _after(sources: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Tables of which all rows are as they are."""
    return {name: rows.withColumn(SIDE, F.lit(_AFTER)) for name, rows in sources.items()}


def _types(rows: DataFrame) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in rows.schema.fields]


def _types_by_name(rows: DataFrame) -> dict[str, DataType]:
    return {field.name: field.dataType for field in rows.schema}


def _schema(kinds: Types) -> str:
    return ", ".join(f"{layout.quoted(name)} {kind}" for name, kind in kinds.items())


def _name(kind: DataType) -> str:
    return kind.simpleString()


def _digits(kind: DataType) -> int:
    return kind.precision if isinstance(kind, DecimalType) else 0


def _plan(rows: DataFrame) -> Any:
    return rows._jdf.queryExecution().optimizedPlan()
