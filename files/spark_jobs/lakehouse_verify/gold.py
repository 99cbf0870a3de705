"""Gold: each model against an own computation from the silver rows that it says it was computed from."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lakehouse_verify.compare import Look, report
from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.gold_queries import QUERIES, Query
from lakehouse_verify.rows import RunSql, Spark, column_types, differing_keys, lake_reader

RECENT_COMMITS = 50
VERSION, USER_METADATA = 0, 13  # columns of DESCRIBE HISTORY

Versions = Mapping[str, int]


def check(
    run_sql: RunSql, claims: Mapping[str, Versions], queries: Mapping[str, Query] = QUERIES
) -> tuple[dict[str, int], list[Finding]]:
    """Compare every gold table with what its definition gives.

    Args:
        run_sql: Runs a query.
        claims: For each model the silver versions that the pipeline says it is up to; read before this call.
        queries: What each model must hold.

    Returns:
        The number of rows by model, and a finding a model.
    """
    there = {name for _, name, *_ in run_sql("show tables in gold")}
    counts: dict[str, int] = {}
    findings = []
    for name in sorted(there | queries.keys()):
        finding = Finding("gold", name, "equals its computation from silver")
        findings.append(finding)
        if name not in there:
            finding.differences, finding.examples = 1, ["the table is missing"]
        elif name not in queries:
            finding.check = "not compared: it is no model any more"
        else:
            counts[name] = _compare(run_sql, name, queries[name], claims.get(name, {}), finding)
    return counts, findings


def _compare(run_sql: RunSql, name: str, query: Query, claim: Versions, finding: Finding) -> int:
    version, versions = _basis(run_sql, name, claim)
    if versions is None:
        finding.differences, finding.examples = (
            1,
            ["neither its commits nor the pipeline tell what it was computed from"],
        )
        return 0
    types = column_types(run_sql, f"gold.{name}")
    silver = {
        table: f"(select * from silver.{table}_versions version as of {number} where is_current)"
        for table, number in versions.items()
    }
    quoted = {column: Spark().name(column) for column in types}
    typed = ", ".join(
        f"cast({quoted[column]} as {kind}) as {quoted[column]}" for column, kind in types.items()
    )
    keyed = " and ".join(f"{quoted[column]} is not null" for column in query.key)
    computation = f"(select {typed} from ({query.sql.format(**silver)}) where {keyed})"
    expected = lake_reader(run_sql, computation, types, types, query.key)
    found = lake_reader(run_sql, f"gold.{name} version as of {version}", types, types, query.key)
    ours, theirs = expected.digests(), found.digests()
    wrong = differing_keys(expected, found, ours, theirs)
    if wrong:
        shown = sorted(wrong)[:EXAMPLES]
        should = expected.rows(shown)
        look = Look(should, found.rows(shown), should)
        report(finding, dict.fromkeys(sorted(wrong), look), found)
    return sum(count for count, _ in theirs.values())


def _basis(run_sql: RunSql, name: str, claim: Versions) -> tuple[int, Versions | None]:
    """The newest version of a model, and the silver versions whose content it must show.

    A commit notes the silver versions that it was computed from. The pipeline claims newer ones when what is
    new in silver changed nothing in the model. The claim was read first: where a commit is newer, it counts.
    """
    commits = run_sql(f"describe history gold.{name} limit {RECENT_COMMITS}")
    notes = (json.loads(commit[USER_METADATA]) for commit in commits if commit[USER_METADATA])
    noted: Versions = next((note["silver"] for note in notes if "silver" in note), {})
    both = {table: max(noted.get(table, -1), claim.get(table, -1)) for table in noted.keys() | claim.keys()}
    return int(commits[0][VERSION]), both or None
