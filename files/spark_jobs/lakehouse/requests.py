"""What playbooks ask of the jobs: done when the pipeline starts, before any layer runs.

A request is a file in the jobs' own folder. It goes when it is done; a pipeline that dies on the way does it
again, which changes nothing more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse import delta_io, envelope, gold, models, silver
from lakehouse.config import Config, Table
from lakehouse.events import Events

REBUILD, ERASE = "rebuild.json", "erase.json"

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
    """Releases from quarantine what is a good event by the tables as they are declared now."""
    bronze = spark.read.format("delta").load(config.bronze_path)
    names = [table.name for table in config.tables]
    bad = bronze.where(F.col("error").isNotNull() & F.col("source_table").isin(names)).toArrow()
    if not bad.num_rows:
        return
    records = {name: bad[name].cast(pa.binary()) for name in ("key", "value")} | {"headers": bad["headers"]}
    judged = envelope.Envelopes(config.topics).judged(pa.table({"topic": bad["topic"], **records}))
    log.info("bronze: %d of %d records leave quarantine", judged["error"].null_count, bad.num_rows)
    place = ("topic", "epoch", "partition", "offset")
    same = " AND ".join(f"target.`{name}` <=> batch.`{name}`" for name in place)
    sets = ", ".join(f"`{name}` = batch.`{name}`" for name in judged)
    batch = spark.createDataFrame(pa.table({name: bad[name] for name in place} | judged))
    with _changeable(spark, config):
        delta_io.merge(spark, config.bronze_path, batch, same, f"WHEN MATCHED THEN UPDATE SET {sets}")


def erase(spark: SparkSession, config: Config, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Makes tombstones of all events of some rows; silver is made anew without them, and gold of it.

    Args:
        spark: The session.
        config: The settings.
        rows: By table, the keys of the rows, each as the values of its columns.
    """
    nothing = ("key", "value", "headers", "op", "lsn", "tx_id", "source_ts", "error")
    sets = ", ".join(f"`{name}` = NULL" for name in nothing)
    for name, keys in rows.items():
        table = config.table(name)
        log.info("%s: the events of %d rows are erased", table.name, len(keys))
        texts = _key_texts(spark, config, table, keys)
        if not texts:
            log.warning("%s: bronze has no event of them, or not any more", table.name)
        wanted = spark.createDataFrame([[text] for text in texts], "key string")
        on = f"target.source_table = '{table.name}' AND target.key = batch.key"
        with _changeable(spark, config):
            delta_io.merge(spark, config.bronze_path, wanted, on, f"WHEN MATCHED THEN UPDATE SET {sets}")
        silver.empty(spark, config, table)
    erased = {config.table(name).short_name for name in rows}
    for model in models.load_all(config.gold_models):
        if erased & set(model.sources):
            gold.forget(spark, config, model)


def _key_texts(
    spark: SparkSession, config: Config, table: Table, keys: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The texts by which bronze knows rows, whatever way their keys are written in."""
    events = Events(table)
    wanted = set()
    for key in keys:
        try:
            wanted.add(events.key(json.dumps(key, default=str)))
        except ValueError:
            log.error("%s: %s is no key of it", table.name, key)
    mine = spark.read.format("delta").load(config.bronze_path).where(F.col("source_table") == table.name)
    # As bytes: the key of a bad record may be no text.
    known = mine.select(F.col("key").cast("binary")).distinct().toArrow()["key"].to_pylist()
    found = []
    for text in known:
        try:
            if events.key(text) in wanted:
                found.append(text.decode())
        except (ValueError, KeyError, TypeError):
            continue  # of a bad record
    return found


@contextmanager
def _changeable(spark: SparkSession, config: Config) -> Iterator[None]:
    """Bronze is only ever added to, but by what is done here."""

    def append_only(value: str) -> None:
        spark.sql(
            f"ALTER TABLE delta.`{config.bronze_path}` SET TBLPROPERTIES ('delta.appendOnly' = '{value}')"
        )

    append_only("false")
    try:
        yield
    finally:
        append_only("true")
