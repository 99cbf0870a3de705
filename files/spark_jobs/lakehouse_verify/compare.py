"""Compare a table with what it should hold while both move."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic

from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.rows import K, Reader, Rows

PORTION = 2000
ROUNDS = 2


@dataclass(frozen=True)
class Look(Generic[K]):
    """Some keys, read from the expected side before and after the other side was read."""

    before: Rows[K]
    found: Rows[K]
    after: Rows[K]


class Settling(Generic[K]):
    """The keys of a table that differed at first sight, while they are looked at again.

    A key is right when what was found equals what was expected just before or just after. It is wrong when
    neither is so although the expectation stood still, twice in a row, or once when the deadline is over. One
    that still moves then is neither.

    Attributes:
        wrong: The keys that are wrong, with the look that showed it.
        restless: How many keys moved at each look until the deadline.
    """

    def __init__(self, keys: Collection[K]) -> None:
        """Begin with the keys that differed at first sight."""
        self.wrong: dict[K, Look[K]] = {}
        self.restless = 0
        self._waiting = sorted(keys, key=repr)
        self._portion: set[K] = set()
        self._strikes: Counter[K] = Counter()

    @property
    def portion(self) -> Collection[K]:
        """The keys to look at next; none: it is over."""
        if not self._portion and not self.wrong:  # a portion that shows a fault is proof enough
            self._portion, self._waiting = set(self._waiting[:PORTION]), self._waiting[PORTION:]
        return self._portion

    @property
    def unseen(self) -> int:
        """How many keys were not looked at again."""
        return len(self._waiting)

    def judge(self, seen: Look[K], late: bool) -> None:
        """Take what a look at the portion shows; `late`: the deadline is over."""
        for key in sorted(self._portion, key=repr):
            before, found, after = (rows.get(key, []) for rows in (seen.before, seen.found, seen.after))
            if found in (before, after):
                self._portion.discard(key)
                continue
            stands = before == after
            self._strikes[key] = self._strikes[key] + 1 if stands else 0
            if late or self._strikes[key] == ROUNDS:
                self._portion.discard(key)
                if stands:
                    self.wrong[key] = seen
                else:
                    self.restless += 1


def settle(
    suspects: Mapping[str, Collection[K]],
    look: Callable[[Mapping[str, Collection[K]]], Mapping[str, Look[K]]],
    deadline: float,
) -> dict[str, Settling[K]]:
    """Tell keys that moved from keys that differ: each table by itself, but with one wait for all.

    Args:
        suspects: By table, the keys that differed at first sight.
        look: Reads keys on both sides, by table.
        deadline: When to give up, on the monotonic clock.

    Returns:
        What came of it, by table.
    """
    tables = {table: Settling(keys) for table, keys in suspects.items()}
    while portions := {table: portion for table, one in tables.items() if (portion := one.portion)}:
        seen = look(portions)
        late = time.monotonic() > deadline
        for table in portions:
            tables[table].judge(seen[table], late)
    return tables


def report(finding: Finding, wrong: Mapping[K, Look[K]], reader: Reader) -> Finding:
    """Put the keys that are wrong into a finding, the first few with what is wrong about them."""
    finding.differences = len(wrong)
    names = [column.name for column in reader.columns]
    key_names = [column.name for column in reader.key]
    for key, look in list(wrong.items())[:EXAMPLES]:
        expected, found = look.after.get(key, []), look.found.get(key, [])
        row = dict(zip(names, (expected or found)[0], strict=True))
        label = ", ".join(f"{name}={row[name]}" for name in key_names)
        if not found:
            finding.examples.append(f"{label}: missing")
        elif not expected:
            finding.examples.append(f"{label}: should not be there")
        elif len(found) != len(expected):
            finding.examples.append(f"{label}: {len(found)} rows, expected {len(expected)}")
        else:
            parts = zip(names, expected[0], found[0], strict=True)
            values = [f"{name} is {have!r}, expected {want!r}" for name, want, have in parts if want != have]
            finding.examples.append(f"{label}: {'; '.join(values)}")
    return finding
