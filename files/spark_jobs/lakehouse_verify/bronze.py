"""Bronze: each offset of each partition, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.rows import RunSql

Partition = tuple[str, int]
RELATION = "bronze.change_events"
TOPIC_ID = "substring_index(epoch, '/', -1)"
TRIMMED = "lakehouse.trimmedBefore"  # a property of bronze once old events were deleted


@dataclass(frozen=True)
class Extent:
    """The offsets that Kafka holds of a partition, from the first to before the end, and its topic's id."""

    begin: int
    end: int
    topic_id: str


def check(run_sql: RunSql, extents: Mapping[Partition, Extent]) -> tuple[Counter[str], list[Finding]]:
    """Count the events of each topic, and look for offsets that are there twice or not at all.

    A topic keeps its id while a failover of the database begins an epoch: its offsets go on from one epoch to
    the next. Once the oldest events were trimmed, each epoch still has its last one, and no gap of its own.

    Args:
        run_sql: Runs a query.
        extents: What Kafka held when bronze was to have it all.

    Returns:
        The number of events by topic, and a finding for each check.
    """
    counts: Counter[str] = Counter()
    once = Finding("bronze", "change_events", "each offset once")
    complete = Finding("bronze", "change_events", "no offset missing")

    def tell_missing(topic: str, part: int, first: int, last: int) -> None:
        told = f"offset {first}" if first == last else f"offsets {first} to {last}"
        complete.examples.append(f"{topic}-{part} {told}")

    trimmed = any(name == TRIMMED for name, *_ in run_sql(f"show tblproperties {RELATION}"))
    numbered = TOPIC_ID if not trimmed else "epoch"
    query = f"""
        select {numbered}, max({TOPIC_ID}), topic, `partition`, count(*), count(distinct `offset`),
               min(`offset`), max(`offset`)
        from {RELATION} group by {numbered}, topic, `partition`"""
    held: dict[tuple[str, int, str], tuple[int, int]] = {}
    for number, topic_id, topic, part, rows, offsets, first, last in run_sql(query):
        counts[topic] += rows
        before = held.get((topic, part, topic_id), (first, last))
        held[topic, part, topic_id] = (min(first, before[0]), max(last, before[1]))
        there = f"{RELATION} where {numbered} <=> '{number}' and topic = '{topic}' and `partition` = {part}"
        if rows > offsets:
            once.differences += rows - offsets
            doubled = f"select `offset`, count(*) from {there} group by `offset` having count(*) > 1"
            found = run_sql(f"{doubled} order by 1 limit {EXAMPLES}")
            once.examples += [f"{topic}-{part} offset {offset}: {times} times" for offset, times in found]
        if last - first >= offsets:
            following = (
                f"select `offset` as this, lead(`offset`) over (order by `offset`) as next from {there}"
            )
            gaps = f"from ({following}) where next > this + 1"
            complete.differences += last - first + 1 - offsets
            for this, next_ in run_sql(f"select this, next {gaps} order by this limit {EXAMPLES}"):
                tell_missing(topic, part, this + 1, next_ - 1)
    for (topic, part), extent in extents.items():
        first, last = held.get((topic, part, extent.topic_id), (extent.end, extent.end - 1))
        begin = extent.begin if trimmed else 0
        for start, end in ((begin, first), (last + 1, extent.end)):
            if start < end:
                complete.differences += end - start
                tell_missing(topic, part, start, end - 1)
    return counts, [once, complete]
