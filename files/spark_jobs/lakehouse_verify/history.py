"""A table's history: what must hold between the versions of a key."""

from __future__ import annotations

from collections import Counter

from lakehouse_verify.bronze import RELATION as EVENTS
from lakehouse_verify.finding import Finding
from lakehouse_verify.rows import RunSql, Spark, Table

RULES = {
    "at most one open version": "is_current and open_versions > 1",
    "open until it ends": "is_current <> (valid_to is null) or is_current <> (ended is null)",
    "versions count from 1": "version <> number",
    "in the order of the commits": "next_began <= began",
    # A truncate may come by another partition, whose offsets tell nothing of this one's.
    "no overlap": "next_began is not null and (ended is null or ended > next_began "
    "and (ended.epoch > next_began.epoch or ended.`partition` = next_began.`partition`))",
    "ends when the next begins": "ended = next_began and not (valid_to <=> next_valid_from)",
    # or at the end of a snapshot, which ends what it does not have; or by an event that bronze keeps no more
    "no gap but after a delete": "ended is not null and not (ended <=> next_began) and not deleted",
}


def check(run_sql: RunSql, table: Table, topic: str) -> tuple[Counter[str], list[Finding]]:
    """Check all versions of all keys of a table.

    Returns:
        The number of `versions` and of `open` ones, and a finding a rule.
    """
    dialect = Spark()
    key = ", ".join(dialect.name(name) for name in table.key)
    label = " || ', ' || ".join(
        f"{dialect.literal(f'{name}=')} || {dialect.name(name)}" for name in table.key
    )
    broken = ", ".join(f"case when {condition} then '{rule}' end" for rule, condition in RULES.items())
    query = f"""
        with versions as (
            select {label} || ' version ' || version as place, version, is_current, valid_to,
                   valid_from_position as began, valid_to_position as ended,
                   row_number() over later as number,
                   lead(valid_from) over later as next_valid_from,
                   lead(valid_from_position) over later as next_began,
                   count_if(is_current) over (partition by {key}) as open_versions
            from silver.{dialect.name(table.short_name + "_history")}
            window later as (partition by {key} order by version, valid_from_position)
        ), deletes as (
            select distinct epoch, `partition`, `offset`, true as deleted from {EVENTS}
            where topic = {dialect.literal(topic)} and (op in ('d', 't') or op = 'r'
                and get_json_object(value, '$.source.snapshot') in ('last', 'last_in_data_collection'))
        ), held as (
            select epoch, `partition`, min(`offset`) as first from {EVENTS}
            where topic = {dialect.literal(topic)} group by epoch, `partition`
        ), judged as (
            select place, explode(array_compact(array(
                'versions', case when is_current then 'open' end, {broken}))) as said
            from (select versions.*, coalesce(deleted, first is null or ended.`offset` < first) as deleted
                  from versions left join deletes
                  on ended.epoch = deletes.epoch and ended.`partition` = deletes.`partition`
                  and ended.`offset` = deletes.`offset`
                  left join held on ended.epoch = held.epoch and ended.`partition` = held.`partition`)
        )
        select said, count(*), min(place), max(place) from judged group by said"""
    counts: Counter[str] = Counter()
    findings = {rule: Finding("silver", f"{table.short_name}_history", rule) for rule in RULES}
    for said, times, first, last in run_sql(query):
        if said in findings:
            findings[said].differences = times
            findings[said].examples = sorted({first, last})
        else:
            counts[said] = times
    return counts, list(findings.values())
