"""How many current rows break each quality rule, kept up to date from what changes in silver.

A count is nothing but a sum over rows: what came and breaks a rule counts one more, what went one less. So
the counts are not stored; they begin anew, from all current rows, when the pipeline starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse import delta_io
from lakehouse.config import Table

if TYPE_CHECKING:
    from lakehouse.gold import Silver


class QualityCounts:
    """The counts of one table, and the silver version that they are of."""

    def __init__(self, table: Table) -> None:
        """Prepare; the first `refresh` counts all current rows."""
        self.table = table
        self.broken_rows: Mapping[str, int] = {}
        self._version: int | None = None

    def forget(self) -> None:
        """Has the next `refresh` count all current rows."""
        self._version = None

    def refresh(self, silver: Silver) -> None:
        """Brings the counts to the silver version; costs what changed since the last time."""
        name = self.table.short_name
        version = silver.versions[name]
        if self._version is None or version < self._version:
            self.broken_rows = self._sums(silver.current(name), F.lit(1))
        elif version > self._version:
            images = silver.images(name, self._version)
            came = F.col("_change_type").isin(*delta_io.ARRIVED)
            changes = self._sums(images.kept, F.when(came, 1).otherwise(-1)) if images.count else {}
            self.broken_rows = {
                rule: count + changes.get(rule, 0) for rule, count in self.broken_rows.items()
            }
        self._version = version

    def _sums(self, rows: DataFrame, weight: Column) -> dict[str, int]:
        sums = [
            F.coalesce(F.sum(F.when(F.expr(rule.broken), weight)), F.lit(0)).alias(f"c{place}")
            for place, rule in enumerate(self.table.quality)
        ]
        found = rows.agg(*sums).first()
        assert found is not None
        return {rule.name: found[place] for place, rule in enumerate(self.table.quality)}
