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


def settle(
    keys: Collection[K], look: Callable[[Collection[K]], Look[K]], deadline: float
) -> dict[K, Look[K]]:
    """Tell keys that moved from keys that differ.

    A key is right when what was found equals what was expected just before or just after. It is wrong when
    neither is so although the expectation stood still, twice in a row; or when it is unclear at the deadline.

    Args:
        keys: The keys that differed at first sight.
        look: Reads keys on both sides.
        deadline: When to give up, on the monotonic clock.

    Returns:
        The keys that are wrong, with the look that showed it.
    """
    wrong: dict[K, Look[K]] = {}
    waiting = sorted(keys, key=repr)
    while waiting and not wrong:  # a portion that shows a fault is proof enough
        portion, waiting = set(waiting[:PORTION]), waiting[PORTION:]
        strikes: Counter[K] = Counter()
        while portion:
            seen = look(portion)
            late = time.monotonic() > deadline
            for key in sorted(portion, key=repr):
                before, found, after = (rows.get(key, []) for rows in (seen.before, seen.found, seen.after))
                if found in (before, after):
                    portion.discard(key)
                    continue
                strikes[key] = strikes[key] + 1 if before == after else 0
                if strikes[key] == ROUNDS or late:
                    portion.discard(key)
                    wrong[key] = seen
    return wrong


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
