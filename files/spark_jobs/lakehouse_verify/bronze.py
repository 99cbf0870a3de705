"""Bronze: each offset of each partition, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.rows import RunSql

Partition = tuple[str, int]
RELATION = "bronze.change_events"


@dataclass(frozen=True)
class Extent:
    """The offsets that Kafka holds of a partition: from the first to before the end."""

    begin: int
    end: int


def has_passed(run_sql: RunSql, extents: Mapping[Partition, Extent]) -> bool:
    """Whether bronze has the last record of each partition."""
    query = f"""
        select topic, `partition`, max(`offset`) from {RELATION}
        where (topic, epoch) in (select topic, max(epoch) from {RELATION} group by topic)
        group by topic, `partition`"""
    held = {(topic, part): last for topic, part, last in run_sql(query)}
    return all(
        held.get(where, -1) >= extent.end - 1
        for where, extent in extents.items()
        if extent.end > extent.begin
    )


def check(run_sql: RunSql, extents: Mapping[Partition, Extent]) -> tuple[Counter[str], list[Finding]]:
    """Count the events of each topic, and look for offsets that are there twice or not at all."""
    counts: Counter[str] = Counter()
    first_held: dict[Partition, int] = {}
    once = Finding("bronze", "change_events", "each offset once")
    complete = Finding("bronze", "change_events", "no offset missing")
    query = f"""
        select epoch, topic, `partition`, count(*), count(distinct `offset`), min(`offset`), max(`offset`)
        from {RELATION} group by epoch, topic, `partition`"""
    for epoch, topic, part, rows, offsets, first, last in run_sql(query):
        counts[topic] += rows
        first_held[topic, part] = min(first, first_held.get((topic, part), first))
        there = f"{RELATION} where epoch <=> '{epoch}' and topic = '{topic}' and `partition` = {part}"
        if rows > offsets:
            once.differences += rows - offsets
            doubled = f"select `offset`, count(*) from {there} group by `offset` having count(*) > 1"
            found = run_sql(f"{doubled} order by 1 limit {EXAMPLES}")
            once.examples += [f"{topic}-{part} offset {offset}: {times} times" for offset, times in found]
        if last - first >= offsets:
            complete.differences += last - first + 1 - offsets
            following = (
                f"select `offset` as this, lead(`offset`) over (order by `offset`) as next from {there}"
            )
            found = run_sql(
                f"select this, next from ({following}) where next > this + 1 order by this limit {EXAMPLES}"
            )
            complete.examples += [
                f"{topic}-{part} offsets {this + 1} to {next_ - 1}" for this, next_ in found
            ]
    for (topic, part), extent in extents.items():
        first = first_held.get((topic, part), extent.end)
        if first > extent.begin:  # what Kafka has dropped meanwhile cannot be asked for
            complete.differences += first - extent.begin
            complete.examples.append(f"{topic}-{part} offsets {extent.begin} to {first - 1}")
    return counts, [once, complete]
