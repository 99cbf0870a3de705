"""What playbooks ask of the jobs: done when the pipeline starts, before any layer runs.

A request is a file in the jobs' own folder. It goes when it is done; a pipeline that dies on the way does it
again, which changes nothing more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

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

_PLACE = ("topic", "epoch", "partition", "offset")

log = logging.getLogger(__name__)


def fulfil(spark: SparkSession, config: Config) -> None:
    """Does what is asked."""
    erase_request, rebuild_request = (config.state / name for name in (ERASE, REBUILD))
    if erase_request.exists():
        erase(spark, config, json.loads(erase_request.read_text(encoding="utf-8")))
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
    """
    nothing = ("key", "value", "headers", "op", "lsn", "tx_id", "source_ts", "error")
    sets = ", ".join(f"`{name}` = NULL" for name in nothing)
    ends = f"target.op = 'r' AND {ends_snapshot('target.value')}"
    stripped = f"`key` = NULL, `headers` = NULL, `error` = NULL, `value` = {literals.text(ERASED_END)}"
    clauses = " ".join(
        (f"WHEN MATCHED AND {ends} THEN UPDATE SET {stripped}", f"WHEN MATCHED THEN UPDATE SET {sets}")
    )
    for name, keys in rows.items():
        table = config.table(name)
        log.info("%s: the events of %d rows are erased", table.name, len(keys))
        events = Events(table, columns.business(TableLog(spark, config.silver_path(table)).columns))
        wanted = _read(table, events, keys)
        texts = _key_texts(retention.events_of(spark, config, table), events, wanted)
        if not texts:
            log.warning("%s: bronze has no event of them, or not any more", table.name)
        records = spark.createDataFrame([[text] for text in texts], "key string")
        on = f"target.source_table = '{table.name}' AND target.key = batch.key"
        with retention.changeable(spark, config):
            delta_io.merge(spark, config.bronze_path, records, on, clauses)
        silver.delete(spark, config, table, wanted)
        silver.empty(spark, config, table)
    erased = {config.table(name).short_name for name in rows}
    for model in models.load_all(config.gold_models):
        if erased & set(model.sources):
            gold.forget(spark, config, model)


def _read(table: Table, events: Events, keys: Sequence[Mapping[str, Any]]) -> set[Key]:
    """Keys as the jobs have them."""
    read = set()
    for key in keys:
        try:
            read.add(events.key(json.dumps(key, default=str)))
        except (ValueError, WiderColumn):
            log.error("%s: %s is no key of it", table.name, key)
    return {key for key in read if key is not None}


def _key_texts(bronze: DataFrame, events: Events, wanted: Collection[Key]) -> list[str]:
    """The texts by which bronze knows rows of a table, whatever way their keys are written in."""
    # As bytes: the key of a bad record may be no text.
    known = bronze.select(F.col("key").cast("binary")).distinct().toArrow()["key"].to_pylist()
    found = []
    for text in known:
        try:
            if events.key(text) in wanted:
                found.append(text.decode())
        except (ValueError, KeyError, TypeError, WiderColumn):
            continue  # of a bad record
    return found
