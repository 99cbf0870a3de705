"""How long bronze keeps events, and how silver is made anew from what bronze has left.

Without old events a table of silver cannot be emptied and folded from the first one on. It is taken back to
a base instead: a position from which on bronze has every event. What is history there stays, what came later
is folded again; so the result is that of a fold of all events.

The base lies `MARGIN` behind the oldest events that are kept: an event that is delivered again is told by its
first delivery, which has to be in bronze. Events come again after a restart of Debezium, back to its last
commit of offsets; what counts is how far apart they are in bronze, not how long it was down.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from lakehouse import literals
from lakehouse.config import Config, Table
from lakehouse.cursor import Cursor
from lakehouse.delta_log import TableLog
from lakehouse.events import ends_snapshot
from lakehouse.layout import quoted
from lakehouse.scd2 import Position

MARGIN = timedelta(days=1)
"""How much longer events are kept than silver needs them: what comes again comes sooner."""

UNFINISHED = "taken_back"
"""In what silver notes: the table is about to be taken back to the cursor that is noted."""

_PROPERTY = "lakehouse.trimmedBefore"  # of bronze: microseconds since 1970
_MICROSECOND = timedelta(microseconds=1)
_LOCK = threading.Lock()

log = logging.getLogger(__name__)


class Base(NamedTuple):
    """A position from which on bronze has every event of a table; `max_lsn` is the highest before it."""

    cursor: Cursor
    max_lsn: int | None


@contextmanager
def changeable(spark: SparkSession, config: Config, **properties: str) -> Any:
    """Bronze is only ever added to, but by what is done here.

    Args:
        spark: The session.
        config: The settings.
        properties: Further properties that bronze has from now on.
    """

    def declare(**settings: str) -> None:
        told = ", ".join(
            f"{literals.text(name)} = {literals.text(value)}" for name, value in settings.items()
        )
        spark.sql(f"ALTER TABLE delta.`{config.bronze_path}` SET TBLPROPERTIES ({told})")

    declare(**{"delta.appendOnly": "false"}, **properties)
    try:
        yield
    finally:
        declare(**{"delta.appendOnly": "true"})


def trim(spark: SparkSession, config: Config, days: float) -> None:
    """Deletes the events of bronze that are older than its newest one by more than so many days.

    The last event of each partition of a topic stays: bronze goes on behind it. Nothing is deleted while
    silver has not applied it, or while a snapshot is under way there; of a table that is not listed any more
    nobody waits for them.
    """
    bronze = spark.read.format("delta").load(config.bronze_path)
    mine = bronze.where(F.col("source_table").isin([table.name for table in config.tables]))
    at = F.unix_micros("ingested_at")
    groups = (
        bronze.groupBy("topic", "epoch", "partition")
        .agg(F.min(at).alias("first"), F.max(at).alias("last"), F.max("offset").alias("offset"))
        .collect()
    )
    newest = max((group["last"] for group in groups), default=0)
    before = newest - timedelta(days=days) // _MICROSECOND
    old = _older_than(before, [group for group in groups if group["last"] < before])
    number = bronze.where(F.expr(old)).count()
    if not number:
        return
    with _LOCK:
        if hindrance := _hindrance(spark, config, mine, before):
            log.warning("bronze keeps its old events for now: %s", hindrance)
            return
        log.info("bronze: %d events are older than %g days and go", number, days)
        with changeable(spark, config, **{_PROPERTY: str(before)}):
            spark.sql(f"DELETE FROM delta.`{config.bronze_path}` WHERE {old}")  # noqa: S608


def _older_than(before: int, kept: Iterable[Row]) -> str:
    """The condition of events that go, as SQL; `kept` has the places of those that stay all the same."""
    condition = f"ingested_at < timestamp_micros({before})"
    for group in kept:
        condition += (
            f" AND NOT (topic = {literals.text(group['topic'])} AND epoch = {literals.text(group['epoch'])}"
            f" AND `partition` = {group['partition']} AND `offset` = {group['offset']})"
        )
    return condition


def _hindrance(spark: SparkSession, config: Config, bronze: DataFrame, before: int) -> str | None:
    """Why events from before a moment have to stay, if they have to."""
    base = before + MARGIN // _MICROSECOND
    at = F.unix_micros("ingested_at")
    good = bronze.where(F.col("error").isNull() & F.col("value").isNotNull())
    by_table: dict[str, list[Position]] = {table.name: [] for table in config.tables}
    place = ("source_table", "epoch", "partition")
    for row in good.where(at < base).groupBy(*place).agg(F.max("offset").alias("offset")).collect():
        by_table[row.source_table].append(Position(row.epoch, row.partition, row.offset))
    for table in config.tables:
        cursor = Cursor.from_json(TableLog(spark, config.silver_path(table)).metadata.get("cursor"))
        if any(cursor.is_before(position) for position in by_table[table.name]):
            return f"silver.{table.short_name} has not applied them"
    rows_of_it = bronze.where(_of_snapshot())
    snapshots = (
        rows_of_it.groupBy("source_table", "epoch", "lsn", "tx_id")
        .agg(
            F.min(at).alias("first"),
            F.max(at).alias("last"),
            F.coalesce(
                (F.count("*") == 1) & (F.min(F.get_json_object("value", "$.source.snapshot")) == "first"),
                F.lit(False),
            ).alias("is_alone"),
        )
        .where((F.col("first") < before) & ~F.col("is_alone"))  # the only row of the first table
        .collect()
    )
    ends = rows_of_it.where(F.expr(ends_snapshot("value"))).select("source_table", at.alias("at")).collect()
    for found in snapshots:
        ended = (end["at"] for end in ends if end.source_table == found.source_table)
        if not any(found["last"] <= moment < base for moment in ended):
            return f"a snapshot of {found.source_table} was under way then"
    return None


def _of_snapshot() -> Column:
    return (F.col("op") == "r") & F.col("lsn").isNotNull()


def base(spark: SparkSession, config: Config, table: Table) -> Base | None:
    """From where on bronze has every event of a table; None: from the first one on."""
    trimmed = _trimmed_before(spark, config)
    if trimmed is None:
        return None
    at = F.unix_micros("ingested_at")
    mine = events_of(spark, config, table)
    groups = (
        mine.groupBy("epoch", "partition")
        .agg(
            F.min("offset").alias("first"),
            F.max(F.when(at < trimmed + MARGIN // _MICROSECOND, F.col("offset"))).alias("offset"),
            F.max(F.when(at < trimmed + MARGIN // _MICROSECOND, F.col("lsn"))).alias("lsn"),
        )
        .collect()
    )
    if not any(group["first"] for group in groups):
        return None
    # Where nothing came for longer than the margin, all that is before the first event has passed.
    passed = (
        Position(
            group.epoch, group.partition, group["first"] - 1 if group["offset"] is None else group["offset"]
        )
        for group in groups
    )
    cursor = Cursor().past(position for position in passed if position.offset >= 0)
    lsns = [group.lsn for group in groups if group.epoch == cursor.epoch and group.lsn is not None]
    return Base(cursor, max(lsns, default=None))


def has_all_rows(spark: SparkSession, config: Config, table: Table) -> bool:
    """Whether a table's present rows can be made of what bronze has: all events, or a snapshot."""
    if base(spark, config, table) is None:
        return True
    trimmed = _trimmed_before(spark, config)
    assert trimmed is not None
    # Of an older one rows may have gone: see `_hindrance`.
    is_whole = F.unix_micros("ingested_at") >= trimmed + MARGIN // _MICROSECOND
    ends = events_of(spark, config, table).where(_of_snapshot() & F.expr(ends_snapshot("value")) & is_whole)
    return bool(ends.limit(1).count())


def is_whole_beyond(spark: SparkSession, config: Config, table: Table, cursor: Cursor) -> bool:
    """Whether bronze has, beyond a cursor, a whole snapshot of a table or a truncate."""
    ends = (_of_snapshot() & F.expr(ends_snapshot("value"))) | (F.col("op") == "t")
    found = events_of(spark, config, table).where(cursor.beyond() & ends & F.col("error").isNull())
    return bool(found.limit(1).count())


def events_of(spark: SparkSession, config: Config, table: Table) -> DataFrame:
    """What bronze has of a table."""
    bronze = spark.read.format("delta").load(config.bronze_path)
    return bronze.where(F.col("source_table") == table.name)


def _trimmed_before(spark: SparkSession, config: Config) -> int | None:
    found = spark.sql(f"SHOW TBLPROPERTIES delta.`{config.bronze_path}`").where(F.col("key") == _PROPERTY)
    row = found.first()
    return None if row is None else int(row.value)


@contextmanager
def untrimmed() -> Any:
    """Nothing goes from bronze meanwhile."""
    with _LOCK:
        yield


def take_back(spark: SparkSession, config: Config, table: Table, to: Base) -> None:
    """Makes a table of silver what it was at a base. If that is interrupted, `finish` goes on with it."""
    stored = TableLog(spark, config.silver_path(table))
    noted = stored.metadata
    cursor = to.cursor
    known = [*noted.get("ends", []), *noted.get("foreseen", [])]  # all of it to the rows that stay
    foreseen = [end for end in known if cursor.is_before(Position(*end[:3]))]
    ends = [end for end in known if end not in foreseen]
    changed = {"cursor": cursor.as_json(), "max_lsn": to.max_lsn, "ends": ends, "foreseen": foreseen}
    stored.note(noted | changed | {"bronze": {}, "columns": {}, UNFINISHED: True})
    finish(spark, config, table)


def finish(spark: SparkSession, config: Config, table: Table) -> None:
    """Takes a table back to the cursor that it notes."""
    path = config.silver_path(table)
    noted = TableLog(spark, path).metadata
    cursor = Cursor.from_json(noted["cursor"])
    rows = spark.read.format("delta").load(path)
    newest_first = Window.partitionBy(*map(quoted, table.key)).orderBy(F.desc("version"))
    kept = rows.where(~cursor.beyond("valid_from_position.")).withColumn(
        "_head", F.row_number().over(newest_first) == 1
    )
    goes_on = F.col("_head") & F.col("valid_to").isNotNull() & cursor.beyond("valid_to_position.")
    began = F.struct(
        F.col("valid_from_position.epoch").alias("epoch"),
        F.col("valid_from_position.partition").alias("partition"),
        F.col("valid_from_position.offset").alias("offset"),
        F.col("valid_from_lsn").alias("lsn"),
        F.col("valid_from").alias("source_ts"),
        F.when(F.col("valid_from_snapshot"), "r").otherwise("c").alias("op"),
        F.lit(None).cast("bigint").alias("tx_id"),
    )
    kept = kept.withColumn("_goes_on", goes_on).withColumns(
        {
            "valid_to": F.when(~F.col("_goes_on"), F.col("valid_to")),
            "valid_to_position": F.when(~F.col("_goes_on"), F.col("valid_to_position")),
            "is_current": F.col("_goes_on") | F.col("is_current"),
            # Also of a row that later events left as it is: they come again, and what came between ends it.
            "_applied": F.when(cursor.beyond("_applied."), began).otherwise(F.col("_applied")),
        }
    )
    log.info("silver.%s: taken back to %s", table.short_name, cursor.as_json())
    kept.select(*map(quoted, rows.columns)).write.format("delta").mode("overwrite").save(path)
    TableLog(spark, path).note({name: value for name, value in noted.items() if name != UNFINISHED})
