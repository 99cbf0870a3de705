"""What playbooks ask of the jobs: done when the pipeline starts, before any layer runs.

A request is a file in the jobs' own folder. It goes when it is done; a pipeline that dies on the way does it
again, which changes nothing more. Of an erasure another file there tells which rows there were.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse import columns, delta_io, envelope, gold, literals, models, retention, silver
from lakehouse.config import Config, Table
from lakehouse.delta_log import TableLog
from lakehouse.events import ERASED_END, Events, WiderColumn, ends_snapshot
from lakehouse.jvm import frame
from lakehouse.scd2 import Key

REBUILD, ERASE = "rebuild.json", "erase.json"
ERASED = "erased.json"
"""What an erasure came to: by table whether there was anything of each row, in the request's order; or an
error."""

_PLACE = ("topic", "epoch", "partition", "offset")

log = logging.getLogger(__name__)


class BadRequest(Exception):
    """A request that nobody can do; the message has no key in it, since it goes to the journal."""


class _Erasure(NamedTuple):
    """The rows of a table that are to be erased."""

    table: Table
    events: Events
    keys: list[Key]


def fulfil(spark: SparkSession, config: Config) -> None:
    """Does what is asked."""
    erase_request, rebuild_request = (config.state / name for name in (ERASE, REBUILD))
    if erase_request.exists():
        try:
            erase(spark, config, _content(erase_request))
        except BadRequest as error:  # nor would it be a better one at the next start
            log.error("nothing is erased: %s", error)
            _tell(config, {"error": str(error)})
        erase_request.unlink()
    if rebuild_request.exists():
        rebuild(spark, config)
        rebuild_request.unlink()


def rebuild(spark: SparkSession, config: Config) -> None:
    """Judges anew what is in quarantine, and has silver and gold made from bronze again."""
    judge_again(spark, config)
    for table in config.tables:
        log.info("silver.%s: emptied, to be made from bronze", table.short_name)
        silver.empty(spark, config, table)
    for model in models.load_all(config.gold_models):
        gold.forget(spark, config, model)


def judge_again(spark: SparkSession, config: Config) -> None:
    """Judges by the tables as they are declared now what is in quarantine.

    Of a table that is about to be made anew with a column of another type, or with another key, every event
    is judged: silver could not read those that are good by the old ones alone, and would stop there.
    """
    envelopes = envelope.Envelopes(config.topics)
    is_bad = F.col("error").isNotNull()
    for table in config.tables:
        _judge_again(spark, config, table, envelopes, is_bad)
        fits = silver.fits(table, TableLog(spark, config.silver_path(table)))
        if not fits and not silver.waits_for_snapshot(spark, config, table):
            _judge_again(spark, config, table, envelopes, ~is_bad & F.col("key").isNotNull())


def _judge_again(
    spark: SparkSession, config: Config, table: Table, envelopes: envelope.Envelopes, which: Column
) -> None:
    judged = [
        changed
        for rows in silver.portions(retention.events_of(spark, config, table).where(which))
        if (changed := _judged(envelopes, rows)).num_rows
    ]
    if not judged:
        return
    batch = pa.concat_tables(judged)
    good = batch["error"].null_count
    log.info("%s: %d records leave quarantine, %d go there", table.name, good, batch.num_rows - good)
    same = " AND ".join(f"target.`{name}` <=> batch.`{name}`" for name in _PLACE)
    sets = ", ".join(f"`{name}` = batch.`{name}`" for name in batch.column_names if name not in _PLACE)
    with retention.changeable(spark, config):
        merged = frame(spark, batch)
        delta_io.merge(spark, config.bronze_path, merged, same, f"WHEN MATCHED THEN UPDATE SET {sets}")


def _judged(envelopes: envelope.Envelopes, rows: pa.Table) -> pa.Table:
    """What bronze says of records from now on; of those alone of which it is something else."""
    records = {name: rows[name].cast(pa.binary()) for name in ("key", "value")}
    told = envelopes.judged(pa.table({"topic": rows["topic"], "headers": rows["headers"], **records}))
    kept = pa.table({name: rows[name] for name in _PLACE} | told)
    was, is_now = rows["error"], kept["error"]
    same = pc.or_(pc.and_(pc.is_null(was), pc.is_null(is_now)), pc.fill_null(pc.equal(was, is_now), False))
    return kept.filter(pc.invert(same))


def erase(spark: SparkSession, config: Config, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Makes tombstones of all events of some rows; silver is made anew without them, and gold of it.

    Of the last row of a snapshot it stays that a snapshot ended there.

    Args:
        spark: The session.
        config: The settings.
        rows: By table, the keys of the rows, each as the values of its columns.

    Raises:
        BadRequest: They are no keys of the tables; nothing was changed.
    """
    nothing = ("key", "value", "headers", "op", "lsn", "tx_id", "source_ts", "error")
    sets = ", ".join(f"`{name}` = NULL" for name in nothing)
    ends = f"target.op = 'r' AND {ends_snapshot('target.value')}"
    stripped = f"`key` = NULL, `headers` = NULL, `error` = NULL, `value` = {literals.text(ERASED_END)}"
    clauses = " ".join(
        (f"WHEN MATCHED AND {ends} THEN UPDATE SET {stripped}", f"WHEN MATCHED THEN UPDATE SET {sets}")
    )
    erasures = _read(spark, config, rows)
    texts = [_key_texts(retention.events_of(spark, config, one.table), one) for one in erasures]
    _tell_found(spark, config, erasures, texts)
    for (table, _, keys), found in zip(erasures, texts, strict=True):
        log.info("%s: the events of %d rows are erased", table.name, len(keys))
        records = spark.createDataFrame([[text] for text in found], "key string")
        on = f"target.source_table = '{table.name}' AND target.key = batch.key"
        with retention.changeable(spark, config):
            delta_io.merge(spark, config.bronze_path, records, on, clauses)
        silver.delete(spark, config, table, keys)
        silver.empty(spark, config, table)
    erased = {one.table.short_name for one in erasures}
    for model in models.load_all(config.gold_models):
        if erased & set(model.sources):
            gold.forget(spark, config, model)


def _content(request: Path) -> Any:
    try:
        return json.loads(request.read_bytes())
    except ValueError as error:
        raise BadRequest("the request is no JSON") from error


def _read(spark: SparkSession, config: Config, rows: Any) -> list[_Erasure]:
    """What is to be erased, as the jobs have keys."""
    tables = {table.name: table for table in config.tables}
    if not isinstance(rows, dict) or not all(isinstance(keys, list) for keys in rows.values()):
        raise BadRequest("the request has no lists of keys by table")
    erasures = []
    for name, keys in rows.items():
        if name not in tables:
            raise BadRequest(f"the pipeline has no table {name}")
        table = tables[name]
        stored = columns.business(TableLog(spark, config.silver_path(table)).columns)
        if missing := [column for column in table.key if column not in stored]:
            raise BadRequest(
                f"{name}: silver has no {', '.join(missing)}, which the key has now; make it anew before, by "
                "resnapshot.yml for this table and then rebuild.yml"
            )
        events = Events(table, stored)
        erasures.append(_Erasure(table, events, [_key(table, events, key) for key in keys]))
    return erasures


def _key(table: Table, events: Events, told: Any) -> Key:
    if not isinstance(told, dict) or told.keys() != {*table.key}:
        has = ", ".join(map(str, told)) if isinstance(told, dict) else "none"
        raise BadRequest(f"{table.name}: its key is {', '.join(table.key)}; a row's columns are {has}")
    try:
        key = events.key(json.dumps(told))
    except (ValueError, WiderColumn):
        key = None
    if key is None:
        kinds = ", ".join(f"{name} ({table.column(name).type})" for name in table.key)
        raise BadRequest(f"{table.name}: a row has other values than its key {kinds} can have")
    return key


def _key_texts(bronze: DataFrame, erasure: _Erasure) -> dict[str, Key]:
    """The texts by which bronze knows rows of a table, whatever way their keys are written in."""
    # As bytes: the key of a bad record may be no text.
    known = bronze.select(F.col("key").cast("binary")).distinct().toArrow()["key"].to_pylist()
    wanted, found = {*erasure.keys}, {}
    for text in known:
        try:
            key = erasure.events.key(text)
            if key in wanted:
                found[text.decode()] = key
        except (ValueError, KeyError, TypeError, WiderColumn):
            continue  # of a bad record
    return found


def _tell_found(
    spark: SparkSession, config: Config, erasures: list[_Erasure], texts: list[dict[str, Key]]
) -> None:
    """Tells of which rows there is anything, before it is gone; or was, when it is done once more."""
    before = _told(config)
    found = {}
    for (table, _, keys), of_bronze in zip(erasures, texts, strict=True):
        there = {*of_bronze.values(), *silver.known(spark, config, table, keys)}
        was = chain(before.get(table.name, ()), repeat(False))
        found[table.name] = [key in there or once for key, once in zip(keys, was, strict=False)]
        if not all(found[table.name]):
            log.warning(
                "%s: there is nothing of %d of these rows", table.name, found[table.name].count(False)
            )
    _tell(config, found)


def _told(config: Config) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((config.state / ERASED).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return told


def _tell(config: Config, told: Mapping[str, Any]) -> None:
    new = config.state / f".{ERASED}.new"
    new.touch(mode=0o600)
    new.write_text(json.dumps(told), encoding="utf-8")
    new.replace(config.state / ERASED)
