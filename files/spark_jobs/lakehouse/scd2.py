"""The change-event semantics: from a batch of events to versions of rows. Pure.

`fold` continues the history of each key from its head, the key's latest version, open or closed. What was
redelivered is dropped before (`first_deliveries`, `not_delivered_before`), and what TOAST left out is
filled in (`carry_forward`). Order is the position: epoch, partition, offset. All events of a key are in
one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from lakehouse import pgtypes
from lakehouse.config import Table
from lakehouse.layout import EVENT, HIDDEN_COLUMNS, HISTORY_COLUMNS, POSITION

_IDENTITY = ("position.epoch", "identity_key", "tx_id", "lsn", "op")


@dataclass(frozen=True)
class Truncate:
    """A TRUNCATE of the table."""

    epoch: str
    partition: int
    offset: int
    lsn: int
    source_ts: datetime

    def as_event(self) -> Column:
        """The event as a literal."""
        return F.struct(*(F.lit(value) for value in astuple(self)), F.lit("t")).cast(EVENT)


def silver_schema(table: Table) -> str:
    """The columns of a table's backing table."""
    business = {column.name: pgtypes.spark_type(column.type) for column in table.columns}
    return ", ".join(
        f"`{name}` {kind}" for name, kind in {**business, **HISTORY_COLUMNS, **HIDDEN_COLUMNS}.items()
    )


def first_deliveries(events: DataFrame) -> DataFrame:
    """Each event once, at its first position: drops what was delivered again within the batch."""
    delivery = F.row_number().over(Window.partitionBy(*_IDENTITY).orderBy("position"))
    return events.withColumn("_delivery", delivery).where("_delivery = 1").drop("_delivery")


def not_delivered_before(events: DataFrame, past: DataFrame) -> DataFrame:
    """The events that `past`, rows with identity and `position`, does not hold at an earlier position."""
    new, old = events.alias("new"), past.alias("old")
    again = F.col("old.position") < F.col("new.position")
    for name in _IDENTITY:
        again = again & F.col(f"new.{name}").eqNullSafe(F.col(f"old.{name}"))
    return new.join(old, again, "left_anti")


def truncates(events: DataFrame) -> list[Truncate]:
    """The truncates among events."""
    rows = events.where("op = 't'").select("position.*", "lsn", "source_ts").collect()
    return [Truncate(**row.asDict()) for row in rows]


def carry_forward(events: DataFrame, heads: DataFrame, table: Table) -> DataFrame:
    """Fills in what events leave out (TOAST) from the key's event before, or else from its head."""
    known = heads.select(*table.column_names, F.array().cast("array<string>").alias("unavailable"))
    rows = events.unionByName(known, allowMissingColumns=True)
    so_far = Window.partitionBy(*table.key).orderBy(F.col("position").asc_nulls_first())
    for name in table.column_names:
        if name not in table.key:
            told = F.when(~F.array_contains("unavailable", name), F.struct(F.col(name).alias("value")))
            rows = rows.withColumn(name, F.last(told, ignorenulls=True).over(so_far)["value"])
    return rows.where(F.col("position").isNotNull())


def fold(events: DataFrame, heads: DataFrame, table: Table, truncates: Sequence[Truncate] = ()) -> DataFrame:
    """Continues each key's history from its head by the batch's events.

    Args:
        events: Events of rows, each once, with nothing left out.
        heads: The `_head` rows of the backing table for the keys in `events`; with truncates, of all open
            keys too.
        table: The table.
        truncates: The batch's truncates.

    Returns:
        The versions that are new or changed, as rows of the backing table, and `_known`: whether the backing
        table has that version already (as its key's head).
    """
    in_order = sorted(truncates, key=lambda truncate: (truncate.epoch, truncate.offset))
    if len({truncate.partition for truncate in truncates}) > 1:
        in_order = sorted(truncates, key=lambda truncate: (truncate.epoch, truncate.lsn, truncate.offset))
    by_position = Window.partitionBy(*table.key).orderBy(F.col("_is_head").desc(), "_event")
    steps = _with_truncates(_steps(events, heads, table), in_order)
    steps = _with_openings(steps, table, by_position)
    return _changed_versions(_with_versions(steps, by_position), table)


def _steps(events: DataFrame, heads: DataFrame, table: Table) -> DataFrame:
    """Heads and events in one shape: the row after the step, and what a version beginning there says."""
    row = F.struct(*(F.col(name) for name in table.column_names)).alias("_row")
    of_events = events.select(
        *table.key,
        row,
        (F.col("op") != "d").alias("_alive"),
        F.lit(False).alias("_is_head"),
        F.lit(None).cast("int").alias("_version"),
        F.struct("position.*", "lsn", "source_ts", "op").cast(EVENT).alias("_event"),
        F.struct(
            F.col("source_ts").alias("valid_from"),
            F.col("lsn").alias("valid_from_lsn"),
            F.col("snapshot").alias("valid_from_snapshot"),
            F.col("position").alias("valid_from_position"),
        ).alias("_opening"),
    )
    of_heads = heads.select(
        *table.key,
        row,
        F.col("is_current").alias("_alive"),
        F.lit(True).alias("_is_head"),
        F.col("version").alias("_version"),
        F.col("_applied").alias("_event"),
        F.struct("valid_from", "valid_from_lsn", "valid_from_snapshot", "valid_from_position").alias(
            "_opening"
        ),
    )
    return of_events.unionByName(of_heads)


def _with_truncates(steps: DataFrame, truncates: Sequence[Truncate]) -> DataFrame:
    """Adds `_era`, how many truncates came before the step, and `_truncate`, the first one after it."""
    if not truncates:
        return steps.withColumn("_era", F.lit(0)).withColumn("_truncate", F.lit(None).cast(EVENT))
    all_of_them = F.array(*(truncate.as_event() for truncate in truncates))
    earlier = F.filter(all_of_them, lambda truncate: _precedes(truncate, F.col("_event")))
    return steps.withColumn("_era", F.size(earlier)).withColumn(
        "_truncate", F.get(all_of_them, F.col("_era"))
    )


def _precedes(truncate: Column, event: Column) -> Column:
    # TRUNCATE holds its lock until it commits: against it, events of another partition are in the order
    # of their LSN.
    one_partition = truncate["partition"] == event["partition"]
    earlier = F.when(one_partition, truncate["offset"] < event["offset"]).otherwise(
        truncate["lsn"] < event["lsn"]
    )
    return (truncate["epoch"] < event["epoch"]) | ((truncate["epoch"] == event["epoch"]) & earlier)


def _with_openings(steps: DataFrame, table: Table, by_position: WindowSpec) -> DataFrame:
    """Adds `_opens`, whether the step begins a version, and of the head `_head_version` and `_head_row`."""
    tracked = F.struct(F.lit(0), *(F.col("_row")[name] for name in table.tracked))
    before = F.lag(F.struct("_alive", "_era", tracked.alias("tracked"))).over(by_position)
    lived = F.col("_before._alive") & (F.col("_before._era") == F.col("_era"))
    goes_on = lived & F.col("_before.tracked").eqNullSafe(tracked)
    opens = F.col("_alive") & ~F.col("_is_head") & ~F.coalesce(goes_on, F.lit(False))
    head = F.first(F.when(F.col("_is_head"), F.struct("_version", "_row"))).over(by_position)
    found = steps.withColumns({"_before": before, "_known_head": head})
    return found.withColumns(
        {
            "_opens": opens,
            "_head_version": F.col("_known_head._version"),
            "_head_row": F.col("_known_head._row"),
        }
    )


def _with_versions(steps: DataFrame, by_position: WindowSpec) -> DataFrame:
    """Adds of each step's version its number, its `_opening`, `_end` (the event that ended it) and `_head`.

    `_is_last` says whether the step is the version's last, and so tells all of it.
    """
    whole_key = by_position.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    opening = F.when(F.col("_opens") | F.col("_is_head"), F.col("_opening"))
    opens = F.col("_opens").cast("int")
    steps = steps.withColumns(
        {
            "_opened": F.sum(opens).over(by_position),
            "_openings": F.sum(opens).over(whole_key),
            "_opening": F.last(opening, ignorenulls=True).over(by_position),
            "_after": F.lead(F.struct("_alive", "_era", "_opens", "_event")).over(by_position),
        }
    )
    truncated = F.col("_truncate").isNotNull() & F.coalesce(F.col("_after._era") > F.col("_era"), F.lit(True))
    replaced = ~F.col("_after._alive") | F.col("_after._opens")
    ended = F.when(truncated, F.col("_truncate")).when(replaced, F.col("_after._event"))
    # a head that is closed already ended with the event applied last
    end = F.when(F.col("_alive"), ended).otherwise(F.col("_event"))
    return steps.withColumns(
        {
            "version": (F.coalesce("_head_version", F.lit(0)) + F.col("_opened")).cast("int"),
            "_head": F.col("_opened") == F.col("_openings"),
            "_end": end,
            "_is_last": (F.col("_is_head") | F.col("_alive")) & (end.isNotNull() | F.col("_after").isNull()),
        }
    )


def _changed_versions(steps: DataFrame, table: Table) -> DataFrame:
    """The rows of the backing table that the steps change or add."""
    known = F.coalesce(F.col("version") == F.col("_head_version"), F.lit(False))
    same_row = F.col("_end").isNull() & F.col("_row").eqNullSafe(F.col("_head_row"))
    still_closed = F.col("_is_head") & ~F.col("_alive")
    unchanged = known & F.col("_head") & (same_row | still_closed)
    end_position = F.struct("_end.epoch", "_end.partition", "_end.offset").cast(POSITION)
    return steps.where(F.col("_is_last") & ~unchanged).select(
        *(F.col("_row")[name].alias(name) for name in table.column_names),
        F.col("_opening.valid_from"),
        F.col("_end.source_ts").alias("valid_to"),
        F.col("_end").isNull().alias("is_current"),
        "version",
        F.col("_opening.valid_from_lsn"),
        F.col("_opening.valid_from_snapshot"),
        F.col("_opening.valid_from_position"),
        F.when(F.col("_end").isNotNull(), end_position).alias("valid_to_position"),
        "_head",
        F.coalesce("_end", "_event").alias("_applied"),
        known.alias("_known"),
    )
