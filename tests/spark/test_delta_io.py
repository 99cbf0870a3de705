"""What the layers share on real Delta tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from lakehouse import delta_io
from pyspark.sql import SparkSession


@pytest.mark.parametrize("restart_every", [100, 4])
def test_small_files_are_joined_now_and_then_and_not_at_every_batch(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart_every: int
) -> None:
    monkeypatch.setattr(delta_io.Compaction, "GROWN_BY", 6)
    path = f"file://{tmp_path}/table"
    delta_io.create_if_missing(spark, path, "id bigint", {"delta.appendOnly": "true"})
    compaction = delta_io.Compaction(spark, path)
    for number in range(14):
        if number % restart_every == 0:
            compaction = delta_io.Compaction(spark, path)
        delta_io.append(spark.range(number, number + 1).coalesce(1), path)
        files = compaction.after_batch()
        assert files is not None
        assert files <= delta_io.Compaction.GROWN_BY
    operations = [row.operation for row in spark.sql(f"DESCRIBE HISTORY delta.`{path}`").collect()]
    assert operations.count("OPTIMIZE") == 2
    rows = spark.read.format("delta").load(path).collect()
    assert sorted(row.id for row in rows) == list(range(14))
