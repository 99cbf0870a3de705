"""Debezium's envelope: from Kafka rows to bronze rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse import pgtypes
from lakehouse.config import Table

BRONZE_SCHEMA = """
    topic string, partition int, offset bigint, kafka_timestamp timestamp,
    headers array<struct<key: string, value: binary>>, key string, value string,
    epoch string, source_table string, op string, lsn bigint, tx_id bigint, source_ts timestamp,
    ingested_at timestamp, error string
"""

_ROW_OPS = ("c", "u", "r")
_CORRUPT = "_corrupt"


def bronze_rows(kafka: DataFrame, tables: Mapping[str, Table], epochs: Mapping[str, str]) -> DataFrame:
    """One row of bronze for each Kafka record, whatever is in it.

    Args:
        kafka: Records as Spark's Kafka source delivers them, headers included.
        tables: The table that each topic carries.
        epochs: The present epoch of each topic.

    Returns:
        Rows of BRONZE_SCHEMA; `error` says why a record is no event, and is null for good ones and for
        tombstones.
    """
    rows = kafka.select(
        "topic",
        "partition",
        "offset",
        F.col("timestamp").alias("kafka_timestamp"),
        "headers",
        F.col("key").cast("string").alias("key"),
        F.col("value").cast("string").alias("value"),
        _lookup("topic", epochs).alias("epoch"),
        _lookup("topic", {topic: table.name for topic, table in tables.items()}).alias("source_table"),
    )
    captured = list(tables.values())
    for index, table in enumerate(captured):
        envelope = F.when(F.col("source_table") == table.name, _envelope(table))
        rows = rows.withColumn(f"_envelope_{index}", envelope)
    envelopes = [F.col(f"_envelope_{index}") for index in range(len(captured))]

    def common(field: str) -> Column:
        return F.coalesce(*(envelope[field] for envelope in envelopes))

    error = F.coalesce(
        *(
            F.when(F.col("source_table") == table.name, _error(envelope, table))
            for envelope, table in zip(envelopes, captured, strict=True)
        )
    )
    return rows.select(
        *(
            "topic",
            "partition",
            "offset",
            "kafka_timestamp",
            "headers",
            "key",
            "value",
            "epoch",
            "source_table",
        ),
        common("op").alias("op"),
        common("source")["lsn"].alias("lsn"),
        common("source")["txId"].alias("tx_id"),
        F.timestamp_micros(common("source")["ts_us"]).alias("source_ts"),
        F.current_timestamp().alias("ingested_at"),
        F.when(F.col("value").isNotNull(), error).alias("error"),
    )


def _envelope(table: Table) -> Column:
    # Every value as text: only so can a bad one be told from a null, and nothing is rounded on the way.
    row = ", ".join(f"`{name}`: string" for name in table.column_names)
    schema = (
        f"op string, source struct<lsn: bigint, txId: bigint, ts_us: bigint>, "
        f"before struct<{row}>, after struct<{row}>, {_CORRUPT} string"
    )
    return F.from_json("value", schema, {"columnNameOfCorruptRecord": _CORRUPT})


def _row(envelope: Column) -> Column:
    return F.when(envelope["op"] == "d", envelope["before"]).otherwise(envelope["after"])


def _error(envelope: Column, table: Table) -> Column:
    """Why the record is no event of the table; null when it is one."""
    op, row = envelope["op"], _row(envelope)
    has_row = op.isin("d", *_ROW_OPS)

    def bad_value(name: str) -> Column:
        pg_type, text = table.column(name).type, row[name]
        wrong = text.isNotNull() & ~_is_unavailable(text) & pgtypes.from_text(text, pg_type).isNull()
        return F.when(wrong, F.concat(F.lit(f"{name}: "), text, F.lit(f" is no {pg_type}")))

    def missing_key(name: str) -> Column:
        return F.when(has_row & row[name].isNull(), F.lit(f"the key column {name} is missing"))

    return F.coalesce(
        F.when(
            envelope.isNull() | envelope[_CORRUPT].isNotNull(),
            F.lit("the value is no JSON object of an envelope's shape"),
        ),
        F.when(op.isNull(), F.lit("op is missing")),
        F.when(~op.isin("d", "t", *_ROW_OPS), F.concat(F.lit("op is unknown: "), op)),
        F.when(envelope["source"]["lsn"].isNull(), F.lit("source.lsn is missing")),
        F.when(envelope["source"]["ts_us"].isNull(), F.lit("source.ts_us is missing")),
        F.when(has_row & row.isNull(), F.lit("the row is missing")),
        *(missing_key(name) for name in table.key),
        *(bad_value(name) for name in table.column_names),
    )


def _is_unavailable(text: Column) -> Column:
    return F.coalesce(text.isin(*pgtypes.UNAVAILABLE), F.lit(False))


def _lookup(column: str, values: Mapping[str, str]) -> Column:
    pairs: Sequence[Column] = [F.lit(part) for pair in values.items() for part in pair]
    return F.create_map(*pairs)[F.col(column)]
