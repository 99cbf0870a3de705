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
from lakehouse.config import Config
from lakehouse.layout import quoted

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
    records = {name: bad[name].cast(pa.binary()) for name in ("key", "value")}
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
        texts = [[str(key[column]) for column in table.key] for key in keys]
        key_columns = [quoted(column) for column in table.key]
        told = ", ".join(f"{column} string" for column in key_columns)  # as text: however a key is written
        wanted = spark.createDataFrame(texts, told).distinct()
        same = [f"from_json(target.key, '{told}').{column} = batch.{column}" for column in key_columns]
        on = " AND ".join([f"target.source_table = '{table.name}'", *same])
        with _changeable(spark, config):
            delta_io.merge(spark, config.bronze_path, wanted, on, f"WHEN MATCHED THEN UPDATE SET {sets}")
        silver.empty(spark, config, table)
    for model in models.load_all(config.gold_models):
        if any(config.table(source).name in rows for source in model.sources):
            gold.forget(spark, config, model)


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
