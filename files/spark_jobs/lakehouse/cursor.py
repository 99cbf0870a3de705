"""How far a table has come in bronze."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from lakehouse.scd2 import Position


@dataclass(frozen=True)
class Cursor:
    """Past all earlier epochs, and up to an offset of each partition of this."""

    epoch: str | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)

    @staticmethod
    def from_json(noted: Mapping[str, Any] | None) -> Cursor:
        """The cursor that `as_json` gave; without one, the beginning."""
        if not noted:
            return Cursor()
        return Cursor(noted["epoch"], {int(partition): at for partition, at in noted["offsets"].items()})

    def as_json(self) -> dict[str, Any]:
        """For a place that keeps JSON."""
        return {
            "epoch": self.epoch,
            "offsets": {str(partition): at for partition, at in self.offsets.items()},
        }

    def beyond(self, of: str = "") -> Column:
        """Whether a bronze row comes after the cursor; or a position in it, `of` whose name and a dot."""
        if self.epoch is None:
            return F.lit(True)
        epoch, partition, offset = (F.col(f"{of}{name}") for name in ("epoch", "partition", "offset"))
        passed = reduce(
            or_, ((partition == p) & (offset <= o) for p, o in self.offsets.items()), F.lit(False)
        )
        return (epoch > self.epoch) | ((epoch == self.epoch) & ~passed)

    def is_before(self, position: Position) -> bool:
        """Whether a position comes after the cursor."""
        if self.epoch is None or position.epoch != self.epoch:
            return self.epoch is None or position.epoch > self.epoch
        return position.offset > self.offsets.get(position.partition, -1)

    def past(self, positions: Iterable[Position]) -> Cursor:
        """The cursor when it has passed these positions, too."""
        last: dict[str, dict[int, int]] = {}
        for epoch, partition, offset in positions:
            offsets = last.setdefault(epoch, {})
            offsets[partition] = max(offset, offsets.get(partition, offset))
        newest = max([*last, *([self.epoch] if self.epoch is not None else [])], default=None)
        offsets = dict(self.offsets) if newest == self.epoch else {}
        for partition, offset in last.get(newest, {}).items() if newest is not None else ():
            offsets[partition] = max(offset, offsets.get(partition, offset))
        return Cursor(newest, offsets)
