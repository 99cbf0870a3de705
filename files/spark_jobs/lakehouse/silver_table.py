"""One table of silver: its history in Delta, and the heads of it that are at hand."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from operator import or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from py4j.protocol import Py4JJavaError
from pyroaring import BitMap64
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse import columns, delta_io, layout, retention, values
from lakehouse.config import Config, Table
from lakehouse.cursor import Cursor
from lakehouse.deliveries import Deliveries
from lakehouse.delta_log import Conflict, DataFile, TableLog, changes_data, tells
from lakehouse.events import Events, UnknownColumn, WiderColumn, ends_snapshot
from lakehouse.heads import Head, Heads
from lakehouse.retry import NeedsSomebody
from lakehouse.scd2 import (
    Change,
    Event,
    Fold,
    Key,
    Mark,
    OutOfOrder,
    Position,
    SpreadFold,
    Version,
    first_deliveries,
    order,
)

_CLOSED = {"_head": "false"}
_CHANGED = "update_postimage"
_ENDS = 100
_TRIES = 5
_TIMES_WITHOUT_ZONE = "'delta.feature.timestampNtz' = 'supported'"

log = logging.getLogger(__name__)


class SilverTable:
    """A table's history, and how far it has come."""

    def __init__(self, spark: SparkSession, config: Config, table: Table) -> None:
        """Prepare; `recover` comes before the first `apply`."""
        self.table = table
        self.cursor = Cursor()
        self.bronze_version = -1
        """The version of bronze up to which the table has everything; it may have more."""
        self._bronze_id = ""
        self._spark = spark
        self._config = config
        self._path = config.silver_path(table)
        self._log = TableLog(spark, self._path)
        self._state_file = config.state / f"{table.short_name}.sqlite"
        self._deliveries = Deliveries()
        self._ends: list[Mark] = []
        self._foreseen: list[Mark] = []
        self._unchecked: list[Mark] = []
        self._files: dict[str, DataFile] = {}
        self._version = -1
        self._stats = [*table.key, "version"]
        self.upkeep = delta_io.Upkeep(spark, self._path)

    def recover(self, bronze_id: str) -> None:
        """Takes the cursor and the heads from the table's content.

        Args:
            bronze_id: The bronze table's identity; versions of another one mean nothing.
        """
        if self._log.version >= 0 and self._log.metadata.get(retention.UNFINISHED):
            retention.finish(self._spark, self._config, self.table)
        self._declare_columns()
        self._synchronize(anew=True)
        noted = self._log.metadata
        if not noted and not retention.has_all_rows(self._spark, self._config, self.table):
            raise NeedsSomebody(
                f"silver.{self.table.short_name} is empty, and bronze has no old events any more "
                "(pipeline_bronze_retention_days): take a new snapshot of the table with resnapshot.yml"
            )
        if self._files and not noted:
            raise NeedsSomebody(
                f"silver.{self.table.short_name} has rows, and does not say up to which events: something "
                "else wrote it. Delete its folder, and it is made from bronze again"
            )
        self.cursor = Cursor.from_json(noted.get("cursor"))
        self._deliveries = Deliveries(self.cursor.epoch, noted.get("max_lsn"))
        self._ends = [_mark(end) for end in noted.get("ends", [])]
        self._foreseen, self._unchecked = [_mark(end) for end in noted.get("foreseen", [])], []
        # Commits of bronze without its events are none of it: how far it has read stands with the heads.
        told = [noted.get("bronze", {}), self._heads.state.get("bronze", {})]
        self._bronze_id = bronze_id
        self.bronze_version = max(
            (bronze["version"] for bronze in told if bronze.get("table") == bronze_id), default=-1
        )

    def apply(self, rows: pa.Table, bronze: Callable[[], DataFrame], bronze_version: int) -> list[Event]:
        """Folds a batch of the table's good bronze rows; leaves out what was applied before.

        Args:
            rows: The rows, in order, with `events.COLUMNS`.
            bronze: Gives all of bronze, to look up whether an event was delivered before.
            bronze_version: The version of bronze up to which the table has everything then.

        Returns:
            The events.

        Raises:
            OutOfOrder: The table has to be made from bronze again: several partitions came in an order that
                a batch cannot mend.
        """
        self._events.ignored = frozenset(self.table.generated)
        while True:
            try:
                with _no_search_for_cycles():
                    return self._apply(rows, bronze, bronze_version)
            except UnknownColumn as unknown:
                if unknown.columns & self._newest_columns(bronze()):
                    raise
                self._events.ignored |= unknown.columns
            except WiderColumn as wider:
                self._change_columns([f"ALTER COLUMN {layout.quoted(wider.column)} TYPE {wider.kind}"])
                self._take_columns()
                self._synchronize(anew=True)
                # What is known of earlier events has their keys as they were read before.
                self._deliveries = Deliveries(self.cursor.epoch, self._deliveries.max_lsn)

    def _apply(self, rows: pa.Table, bronze: Callable[[], DataFrame], bronze_version: int) -> list[Event]:
        events = list(self._events.of(rows))
        events = [event for event in events if self.cursor.is_before(event.mark.position)]
        if not events:
            return events
        doubtful = [event for event in events if self._deliveries.may_know(event)]
        if doubtful:
            self._deliveries.learn(self._past(bronze(), doubtful))
        new = list(first_deliveries(events, self._deliveries.knows))
        keys = {key for event in new for key in (event.key, event.old_key) if key is not None}
        heads = self._heads.of(keys)
        versions = {key: head.version for key, head in heads.items()}
        cursor = self.cursor.past(event.mark.position for event in events)
        fold = self._fold(versions, partial(self._in_snapshot, bronze), events)
        fold.apply(new)
        changes = dict(fold.changes)
        # A truncate and the end of a snapshot change more than the keys of the batch.
        heads |= self._heads.of({key for key, change in changes.items() if change.before} - heads.keys())
        deliveries = self._deliveries.after(events)
        ends = [*self._ends, *(event.mark for event in new if event.ends_others)]
        ends = [end for end in ends if end.position.epoch == cursor.epoch][-_ENDS:]
        foreseen = [end for end in self._foreseen if cursor.is_before(end.position)]
        noted = {
            "cursor": cursor.as_json(),
            "max_lsn": deliveries.max_lsn,
            "ends": [_plain(end) for end in ends],
            # Of which the heads know. A later one is found again, and concerns none of them.
            "foreseen": [_plain(end) for end in foreseen if end.lsn <= (deliveries.max_lsn or 0)],
            "bronze": {"table": self._bronze_id, "version": bronze_version},
            "columns": self._numbers,
            "key": list(self.table.key),
        }
        self._write(changes, heads, noted)
        self.cursor, self._deliveries, self.bronze_version = cursor, deliveries, bronze_version
        self._ends, self._foreseen, self._unchecked = ends, foreseen, []
        return events

    @property
    def is_spread(self) -> bool:
        """Whether its events come by several partitions."""
        return bool(self.cursor.offsets.keys() - {0})

    def has_all_of(self, bronze_version: int) -> None:
        """Takes note that the table has everything up to a version of bronze."""
        if bronze_version != self.bronze_version:
            self.bronze_version = bronze_version
            told = {"table": self._bronze_id, "version": bronze_version}
            self._heads.put((), self._state | {"bronze": told})

    def foresee(self, beyond: DataFrame) -> None:
        """Takes note of what will end rows of the whole table, since partitions come in any order.

        Args:
            beyond: The table's rows of bronze that are still to be applied.
        """
        is_truncate = (F.col("op") == "t") & F.col("error").isNull()
        is_last = (F.col("op") == "r") & F.col("lsn").isNotNull() & F.col("source_ts").isNotNull()
        ends = beyond.where(is_truncate | (is_last & F.expr(ends_snapshot("value"))))  # as events.good has it
        columns = ("epoch", "partition", "offset", "lsn", F.unix_micros("source_ts"), "op", "tx_id")
        # The last of the same place in the source's log stays: of those that come again the first.
        found = map(_mark, sorted(ends.select(*columns).collect(), reverse=True))
        known = {order(end) for end in [*self._ends, *self._foreseen]}
        new = {order(end): end for end in found if order(end) not in known}
        self._foreseen += new.values()
        self._unchecked += filter(self._is_below_what_came, new.values())

    def _fold(
        self,
        heads: Mapping[Key, Version],
        in_snapshot: Callable[[Mark], set[Key]],
        events: Iterable[Event],
    ) -> Fold:
        marks = [*(event.mark for event in events), *self._foreseen]
        if not {*self.cursor.offsets, *(mark.position.partition for mark in marks)} - {0}:
            return Fold(self._tracked, heads, self._open_heads, in_snapshot)
        late = self._unchecked or any(event.ends_others and self._comes_late(event.mark) for event in events)
        # The plain way, which it was until now, notes of no row that an event told the same once more.
        if late and self.cursor.offsets.keys() == {0}:
            raise OutOfOrder
        return SpreadFold(
            self._tracked,
            heads,
            self._open_heads,
            in_snapshot,
            self._ends,
            self._foreseen,
            self._unchecked,
            lambda end: ((key, head.version) for key, head in self._heads.after(end)),
        )

    def _comes_late(self, end: Mark) -> bool:
        """Whether what ends rows of the whole table precedes, in the source, what was applied before it."""
        known = (order(mark) for mark in [*self._ends, *self._foreseen])
        return self._is_below_what_came(end) and order(end) not in known

    def _is_below_what_came(self, end: Mark) -> bool:
        return end.position.epoch == self.cursor.epoch and end.lsn < (self._deliveries.max_lsn or 0)

    def _declare_columns(self) -> None:
        """Brings the table's columns to what the source has; what the source has dropped stays."""
        there, noted = self._log.columns, self._log.metadata
        told = columns.differences(self.table, there, noted.get("columns", {}), noted.get("key", []))
        of_old = [] if "tx_id" in there["_applied"] else ["ADD COLUMN _applied.tx_id bigint"]
        self._change_columns([*of_old, *told])
        self._take_columns()

    def _change_columns(self, clauses: Iterable[str]) -> None:
        """Does what clauses of ALTER TABLE say."""
        for clause in clauses:
            log.info("silver.%s: %s", self.table.short_name, clause)
            if clause.endswith(" timestamp_ntz"):  # which a table that began without one does not have
                self._spark.sql(f"ALTER TABLE delta.`{self._path}` SET TBLPROPERTIES ({_TIMES_WITHOUT_ZONE})")
            self._spark.sql(f"ALTER TABLE delta.`{self._path}` {clause}")

    def _take_columns(self) -> None:
        """Reads and writes with the columns that the table has now."""
        kinds = columns.business(self._log.columns)
        declared = {name: kinds[name] for name in self.table.column_names}
        dropped = {name: kind for name, kind in kinds.items() if name not in declared}
        self._columns = declared | dropped
        self._names = list(self._columns)
        self._kinds = [values.arrow_type(kind) for kind in self._columns.values()]
        self._numbers = {column.name: column.number for column in self.table.columns if column.number}
        everything = set(self.table.tracked) == set(self.table.column_names) - set(self.table.key)
        tracked = [*self.table.tracked, *(dropped if everything else ())]
        self._tracked = [self._names.index(name) for name in tracked]
        self._events = Events(self.table, self._columns)
        self._heads = Heads(self._state_file, self._columns, self.table.key)

    def _newest_columns(self, bronze: DataFrame) -> set[str]:
        """The columns that the newest event of the table has."""
        mine = (F.col("source_table") == self.table.name) & F.col("op").isin("c", "u", "r")
        mine &= F.col("key").isNotNull()  # what was erased has none
        # Offsets are of a partition each, and the LSN of a snapshot may be older than it.
        newest_first = [F.desc(name) for name in ("epoch", "ingested_at", "lsn", "offset")]
        newest = bronze.where(mine & F.col("error").isNull()).orderBy(*newest_first).select("value").first()
        return set() if newest is None else self._events.columns_of(newest.value)

    def _past(self, bronze: DataFrame, doubtful: list[Event]) -> Iterable[tuple[tuple[Any, ...], Position]]:
        """The identities and positions of what bronze has that may be these events' first deliveries."""
        lsns = [event.mark.lsn for event in doubtful]
        mine = (F.col("source_table") == self.table.name) & F.col("value").isNotNull()
        seen = bronze.where(mine & F.col("error").isNull() & F.col("lsn").between(min(lsns), max(lsns)))
        for row in (
            seen.select("epoch", "partition", "offset", "key", "tx_id", "lsn", "op").toArrow().to_pylist()
        ):
            key = None if row["op"] == "t" else self._events.key(row["key"])
            position = Position(row["epoch"], row["partition"], row["offset"])
            yield (row["epoch"], key, row["tx_id"], row["lsn"], row["op"]), position

    def _in_snapshot(self, bronze: Callable[[], DataFrame], last: Mark) -> set[Key]:
        """The keys that a snapshot had, as bronze has it; those of bad records may have been in it."""
        epoch, partition, offset = last.position
        until = (F.col("partition") != partition) | (F.col("offset") <= offset)
        mine = bronze().where((F.col("source_table") == self.table.name) & (F.col("epoch") == epoch) & until)
        row_of_it = (F.col("op") == "r") & (F.col("lsn") == last.lsn)
        row_of_it &= F.col("tx_id").eqNullSafe(F.lit(last.tx_id))
        nobody_knows = F.col("error").isNotNull() & F.col("lsn").isNull()
        # As bytes: the key of a bad record may be no text.
        columns = ("partition", "offset", "lsn", "error", F.col("key").cast("binary"))
        seen = mine.where(row_of_it | nobody_knows).select(*columns).toArrow().to_pylist()
        first: dict[int, int] = {}
        for row in seen:
            if row["lsn"] is not None:
                first[row["partition"]] = min(row["offset"], first.get(row["partition"], row["offset"]))
        begun: dict[int, int] = {}
        if first and any(row["lsn"] is None for row in seen):
            others = mine.where(F.col("error").isNull() & F.col("lsn").isNotNull() & ~row_of_it)
            earlier = ((F.col("partition") == of) & (F.col("offset") < at) for of, at in first.items())
            newest = others.where(reduce(or_, earlier)).groupBy("partition").agg(F.max("offset"))
            begun = {row[0]: row[1] for row in newest.collect()}
        found: set[Key] = set()
        for row in seen:
            if row["lsn"] is None and row["offset"] < begun.get(row["partition"], -1):
                continue  # from before it
            try:
                key = self._events.key(row["key"])
            except (ValueError, KeyError, TypeError, WiderColumn):
                if row["error"] is None:
                    raise
                continue
            if key is not None:
                found.add(key)
        return found

    def _open_heads(self) -> Iterable[tuple[Key, Version]]:
        return ((key, head.version) for key, head in self._heads.open())

    def _write(self, changes: Mapping[Key, Change], heads: dict[Key, Head], noted: dict[str, Any]) -> None:
        latest = [(key, change.head) for key, change in changes.items() if change.head is not None]
        # Events that change nothing are a commit, too: that they were delivered must not be forgotten.
        files, feed = [], []
        if latest:
            rows, images = self._made(changes)
            files.append(self._log.write(rows.slice(0, len(latest)), layout.HEADS, self._stats))
            feed.append(self._log.write_changes(images, layout.HEADS))
            if rows.num_rows > len(latest):
                files.append(self._log.write(rows.slice(len(latest)), _CLOSED, self._stats))
        for attempt in range(_TRIES):
            deleted = self._superseded(heads[key] for key, change in changes.items() if change.before)
            try:
                version, marked = self._log.commit(files, feed, deleted, noted, self._version)
                break
            except Conflict as conflict:
                if attempt == _TRIES - 1:
                    raise
                log.info("silver.%s: %s; trying again", self.table.short_name, conflict)
                self._follow_rearranged()
                heads = self._heads.of(changes)
        if version != self._version + 1:
            self._synchronize(anew=True)
            return
        new = {str(file["path"]): DataFile(file) for file in files[:1]}
        self._files = {path: file for path, file in self._files.items() if path not in deleted}
        self._files |= {**marked, **new}
        self._version = version
        places = ((key, Head(head, name, place)) for name in new for place, (key, head) in enumerate(latest))
        self._heads.put(places, self._state)

    def _superseded(self, heads: Iterable[Head]) -> dict[str, tuple[DataFile, BitMap64]]:
        deleted: dict[str, tuple[DataFile, BitMap64]] = {}
        for head in heads:
            _, rows = deleted.setdefault(head.file, (self._files[head.file], BitMap64()))
            rows.add(head.place)
        return deleted

    @property
    def _state(self) -> dict[str, Any]:
        return {"table": self._log.id, "version": self._version}

    def _synchronize(self, anew: bool = False) -> None:
        """Brings heads and files to the table's newest version.

        Args:
            anew: Whether the files, too, have to be asked for.
        """
        version, noted = self._log.version, self._heads.state
        commits = self._commits_since(noted, version)
        added = set() if commits is None else self._follow(commits)
        if anew or commits is None:
            self._files = {file.path: file for file in self._log.files(layout.HEADS)}
        if commits is None:
            log.info("silver.%s: reading its heads from the table", self.table.short_name)
            self._heads.begin_anew()
            added = set(self._files)
        self._version = version
        rearranged = commits is not None and not any(map(changes_data, commits))
        for path in added & self._files.keys():
            if rearranged:
                self._heads.move(self._places_in(self._files[path]), path)
            else:
                self._heads.put(self._heads_in(self._files[path]), {})
        self._heads.put((), self._state)  # last: who dies before it begins again

    def _follow_rearranged(self) -> None:
        """Brings heads and files to the newest version, if others did no more than rearrange the table."""
        commits = self._commits_since(self._heads.state, self._log.version)
        if commits is None or any(changes_data(actions) for actions in commits):
            raise Changed(
                f"silver.{self.table.short_name} was changed by somebody else: its events are folded again"
            )
        self._synchronize()

    def _commits_since(self, noted: dict[str, Any], version: int) -> list[list[dict[str, Any]]] | None:
        """The commits that the heads do not know yet; None: they have to be read from the table."""
        if noted.get("table") != self._log.id or not 0 <= noted.get("version", -1) <= version:
            return None
        try:
            commits = [actions for _, actions in self._log.commits_after(noted["version"])]
        except Py4JJavaError as error:  # the log does not reach back that far
            log.info("silver.%s: %s", self.table.short_name, error.java_exception.getMessage())
            return None
        whole = len(commits) == version - noted["version"]
        ours = all(tells(actions) for actions in commits if changes_data(actions))
        return commits if whole and ours else None

    def _follow(self, commits: list[list[dict[str, Any]]]) -> set[str]:
        """Follows commits; gives the files that came."""
        added: set[str] = set()
        for actions in commits:
            removed = {action["remove"]["path"] for action in actions if "remove" in action}
            adds = [action["add"] for action in actions if "add" in action]
            files = [self._log.data_file(add) for add in adds if add["partitionValues"] == layout.HEADS]
            added |= {file.path for file in files} - removed
            self._files = {path: file for path, file in self._files.items() if path not in removed}
            self._files |= {file.path: file for file in files}
        return added

    def _places_in(self, file: DataFile) -> Iterable[tuple[Key, int]]:
        """The keys of a file's rows, and where these are in it."""
        rows = self._log.read(file, list(self.table.key))
        kinds = dict(zip(self._names, self._kinds, strict=True))
        columns = (values.from_arrow(rows[name].cast(kinds[name])) for name in self.table.key)
        return zip(zip(*columns, strict=True), rows[layout.PLACE].to_pylist(), strict=True)

    def _heads_in(self, file: DataFile) -> Iterable[tuple[Key, Head]]:
        rows = self._log.read(file)
        empty = pa.nulls(rows.num_rows)  # a column that came after the file
        business = [
            values.from_arrow((rows[name] if name in rows.column_names else empty).cast(kind))
            for name, kind in zip(self._names, self._kinds, strict=True)
        ]
        key_places = [self._names.index(name) for name in self.table.key]
        at = [values.from_arrow(rows[name]) for name in ("valid_from", "valid_to")]
        plain = (
            rows[name].to_pylist()
            for name in ("version", "valid_from_lsn", "valid_from_snapshot", layout.PLACE)
        )
        positions = rows["valid_from_position"].to_pylist()
        applied_at = values.from_arrow(pc.struct_field(rows["_applied"], "source_ts"))
        told = (
            pc.struct_field(rows["_applied"], name).to_pylist()
            for name in ("epoch", "partition", "offset", "lsn", "op")
        )
        # The file of an old table lacks it.
        has_tx_id = rows["_applied"].type.get_field_index("tx_id") >= 0
        transactions = pc.struct_field(rows["_applied"], "tx_id") if has_tx_id else empty
        touches = zip(*told, transactions.to_pylist(), strict=True)
        by_row = zip(*at, *plain, applied_at, positions, touches, *business, strict=True)
        for began_at, ended_at, number, lsn, snapshot, place, touched_at, position, touch, *row in by_row:
            began = Mark(Position(**position), lsn, began_at, "r" if snapshot else "c")
            applied = Mark(Position(*touch[:3]), touch[3], touched_at, *touch[4:])
            version = Version(tuple(row), number, began, applied, None if ended_at is None else applied)
            yield tuple(row[index] for index in key_places), Head(version, file.path, place)

    def _made(self, changes: Mapping[Key, Change]) -> tuple[pa.Table, pa.Table]:
        """The versions that changes made, heads first; and the change data feed.

        It has every version that is new, and of a changed one how it was and is.
        """
        heads: list[Version] = []
        closed: list[Version] = []
        before: list[Version] = []
        types_of_heads: list[str | None] = []
        types_of_closed: list[str | None] = []
        for change in changes.values():
            assert change.head is not None
            made = [*change.closed, change.head]
            *types, of_head = (_change_type(version, change.before) for version in made)
            heads.append(change.head)
            types_of_heads.append(of_head)
            closed += change.closed
            types_of_closed += types
            if change.before is not None and _CHANGED in (*types, of_head):
                before.append(change.before)
        types_of_all = [*types_of_heads, *types_of_closed, *["update_preimage"] * len(before)]
        told = pa.array(types_of_all, pa.string())
        rows = self._rows([*heads, *closed, *before])
        feed = rows.append_column("_change_type", told).filter(pc.is_valid(told))
        return rows.slice(0, len(heads) + len(closed)), feed

    def _rows(self, versions: list[Version]) -> pa.Table:
        by_column = zip(*(version.row for version in versions), strict=True)
        made = {
            name: values.to_arrow(column, kind)
            for name, column, kind in zip(self._names, by_column, self._kinds, strict=True)
        }
        return pa.table(made | _history_columns(versions))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Python looks for none among millions of tuples: that took a third of the CPU time of folding them.

    Only here: elsewhere, what Spark's Python leaves in cycles holds memory of the JVM until they are found.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _change_type(version: Version, before: Version | None) -> str | None:
    """What the change data feed calls a version; None: it is as it was."""
    if before is None or version.number != before.number:
        return "insert"
    return None if version == before else _CHANGED


def _mark(told: Sequence[Any]) -> Mark:
    return Mark(Position(*told[:3]), *told[3:])


def _plain(mark: Mark) -> list[Any]:
    """A mark as `_mark` takes it."""
    return [*mark.position, *mark[1:]]


class Changed(Exception):
    """The table is not as it was left; what was made of the events does not fit it."""


_TIME = pa.timestamp("us", tz="UTC")
_NOWHERE = Position("", 0, 0)


def _history_columns(versions: list[Version]) -> dict[str, pa.Array]:
    began, applied = [version.began for version in versions], [version.applied for version in versions]
    ended = [version.ended for version in versions]
    is_open = pa.array([mark is None for mark in ended], pa.bool_())
    touched = [mark.position for mark in applied]
    made = {
        "valid_from": values.to_arrow([mark.at for mark in began], _TIME),
        "valid_to": values.to_arrow([None if mark is None else mark.at for mark in ended], _TIME),
        "is_current": is_open,
        "version": pa.array([version.number for version in versions], pa.int32()),
        "valid_from_lsn": pa.array([mark.lsn for mark in began], pa.int64()),
        "valid_from_snapshot": pa.array([mark.op == "r" for mark in began], pa.bool_()),
        "valid_from_position": _positions([mark.position for mark in began]),
        "valid_to_position": _positions(
            [_NOWHERE if mark is None else mark.position for mark in ended], is_open
        ),
        "_applied": pa.StructArray.from_arrays(
            [
                *_positions(touched).flatten(),
                pa.array([mark.lsn for mark in applied], pa.int64()),
                values.to_arrow([mark.at for mark in applied], _TIME),
                pa.array([mark.op for mark in applied], pa.string()),
                pa.array([mark.tx_id for mark in applied], pa.int64()),
            ],
            names=["epoch", "partition", "offset", "lsn", "source_ts", "op", "tx_id"],
        ),
    }
    assert list(made) == [
        name for name in [*layout.HISTORY_COLUMNS, *layout.HIDDEN_COLUMNS] if name != "_head"
    ]
    return made


def _positions(positions: list[Position], nowhere: pa.Array | None = None) -> pa.StructArray:
    epochs, partitions, offsets = zip(*positions, strict=True)
    fields = [pa.array(epochs, pa.string()), pa.array(partitions, pa.int32()), pa.array(offsets, pa.int64())]
    return pa.StructArray.from_arrays(fields, names=list(Position._fields), mask=nowhere)
