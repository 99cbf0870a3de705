"""The proof: a consistent cut, every layer past it, every layer compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lakehouse_verify import bronze, gold, history, kafka, progress
from lakehouse_verify.bronze import Extent, Partition
from lakehouse_verify.compare import Look, report, settle
from lakehouse_verify.finding import Finding, VerifyError
from lakehouse_verify.gold_queries import QUERIES, Query
from lakehouse_verify.rows import (
    Reader,
    Rows,
    RunSql,
    Spark,
    Table,
    column_types,
    differing_keys,
    lake_reader,
)
from lakehouse_verify.settings import Settings
from lakehouse_verify.source import Cut, Source

FLAGS = "_quality"
"""A column of silver's views that is not the source's: the quality rules which a row breaks."""


@dataclass
class Outcome:
    """What was found.

    Attributes:
        lsn: The position of the cut in the source.
        counts: Rows by table: `source`, `events`, `versions`, `current`, or of gold `rows`.
        findings: One entry a check.
        notes: What was not compared in full.
    """

    lsn: str = ""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Suspects:
    """The keys of a table that differed at first sight, and how to read silver's rows of them."""

    table: Table
    silver: Reader
    keys: set[str]


class Verification:
    """One run."""

    def __init__(self, settings: Settings, source: Source, run_sql: RunSql, outcome: Outcome) -> None:
        """Prepare.

        Args:
            settings: What to verify, and where it is.
            source: The source.
            run_sql: Runs a query in the lakehouse.
            outcome: What is found goes there, so that it is known when the run ends early.
        """
        self._settings = settings
        self._source = source
        self._run_sql = run_sql
        self._tables = [
            source.table(name, entry.get("exclude", ()), entry.get("mask", ()))
            for name, entry in settings.tables.items()
        ]
        self._outcome = outcome
        self._outcome.counts.update({table.name: Counter() for table in self._tables})

    def run(self) -> None:
        """Take the cut, wait until each layer has passed it, and compare; gold, the slowest, comes last."""
        with self._source.cut() as cut:
            self._outcome.lsn = cut.lsn
            extents = self._await_kafka(cut)
            deadline, passed_kafka = self._deadline(), time.time()
            self._ask_for_batch()
            self._await("bronze", passed_kafka, deadline)
            self._await("silver", passed_kafka, deadline)
            suspects = [some for table in self._tables if (some := self._compare_current(cut, table))]
        self._settle(suspects)
        self._check_bronze(extents)
        for table in self._tables:
            self._check_history(table)
        self._await("gold", passed_kafka, deadline)
        self._check_gold()

    def _note(self, *findings: Finding) -> None:
        self._outcome.findings += findings

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.deadline

    def _await_kafka(self, cut: Cut) -> Mapping[Partition, Extent]:
        if not progress.wait(cut.is_delivered, self._deadline()):
            raise VerifyError(
                f"Debezium has not delivered the source's changes up to {cut.lsn} within "
                f"{self._settings.deadline:.0f} s; see `make status` and the journal of debezium"
            )
        topics = [self._settings.topic(table.name) for table in self._tables]
        return kafka.extents(self._settings.kafka, topics)

    def _await(self, layer: str, moment: float, deadline: float) -> None:
        """Wait until a layer has all that Kafka had at a moment; one that does not in time is a finding."""
        passed = progress.wait(partial(self._is_complete, layer, moment), deadline)
        self._note(Finding(layer, "all tables", "passes the cut in time", int(not passed)))

    def _ask_for_batch(self) -> None:
        """With a schedule silver and gold work when they are asked to."""
        if self._settings.batch_request:
            progress.ask_for_batch(Path(self._settings.batch_request))

    def _is_complete(self, layer: str, moment: float) -> bool:
        return progress.complete_as_of(self._settings.status_file, layer) > moment

    def _compare_current(self, cut: Cut, table: Table) -> Suspects | None:
        """Compare silver's current rows with the source's at first sight.

        Returns:
            What differs; None when the rows cannot be told apart.
        """
        relation = f"silver.{Spark().name(table.short_name)}"
        types = column_types(self._run_sql, relation)
        names = [column.name for column in table.columns]
        if FLAGS not in names:
            types.pop(FLAGS, None)
        shape = Finding("silver", table.short_name, "has the source's columns")
        if list(types) != names:
            shape.differences = 1
            shape.examples = [f"silver has {', '.join(types)}; the source has {', '.join(names)}"]
        self._note(shape)
        both = [name for name in names if name in types]
        inexact = {column.name: column.type for column in table.columns if not column.exact}
        if unclear := [f"{name} ({inexact[name]})" for name in table.key if name in inexact]:
            self._outcome.notes.append(
                f"{table.name}: its rows were not compared with the source: PostgreSQL and silver write the "
                f"values of its key differently, {', '.join(unclear)}"
            )
            return None
        if inexact:
            told = ", ".join(f"{name} ({kind})" for name, kind in inexact.items())
            self._outcome.notes.append(
                f"{table.name}: of {told} it was only compared whether there is a value"
            )
        source = cut.reader(table, {name: types[name] for name in both})
        silver = lake_reader(self._run_sql, relation, types, both, table.key, inexact)
        ours, theirs = source.digests(), silver.digests()
        self._outcome.counts[table.name]["source"] = sum(count for count, _ in ours.values())
        self._outcome.counts[table.name]["current"] = sum(count for count, _ in theirs.values())
        return Suspects(table, silver, differing_keys(source, silver, ours, theirs))

    def _settle(self, suspects: list[Suspects]) -> None:
        """Look again at the keys that differed, all tables together; report those that differ for good."""
        by_table = {some.table.name: some for some in suspects}
        deadline = self._deadline()

        def look(keys: Mapping[str, Collection[str]]) -> dict[str, Look[str]]:
            with self._source.cut() as cut:
                before = read(keys, partial(_source_reader, cut))
                progress.wait(cut.is_delivered, deadline)
            self._ask_for_batch()
            progress.wait(partial(self._is_complete, "silver", time.time()), deadline)
            found = read(keys, lambda some: some.silver)
            with self._source.cut() as cut:
                after = read(keys, partial(_source_reader, cut))
            return {name: Look(before[name], found[name], after[name]) for name in keys}

        def read(
            keys: Mapping[str, Collection[str]], reader: Callable[[Suspects], Reader]
        ) -> dict[str, Rows[str]]:
            return {name: reader(by_table[name]).rows(some) for name, some in keys.items()}

        settled = settle({name: some.keys for name, some in by_table.items()}, look, deadline)
        for name, some in by_table.items():
            finding = Finding("silver", some.table.short_name, "current rows equal the source")
            report(finding, settled[name].wrong, some.silver)
            if unseen := settled[name].unseen:
                finding.examples.append(f"{unseen} more that differed at first were not looked at again")
            if restless := settled[name].restless:
                self._outcome.notes.append(
                    f"{name}: {restless} keys changed at each look until the deadline and were not compared"
                )
            self._note(finding)

    def _check_bronze(self, extents: Mapping[Partition, Extent]) -> None:
        events, findings = bronze.check(self._run_sql, extents)
        for table in self._tables:
            self._outcome.counts[table.name]["events"] = events[self._settings.topic(table.name)]
        self._note(*findings)

    def _check_history(self, table: Table) -> None:
        counts, findings = history.check(self._run_sql, table, self._settings.topic(table.name))
        self._outcome.counts[table.name].update(counts)
        self._note(*findings)

    def _check_gold(self) -> None:
        claims = progress.gold_versions(self._settings.status_file)
        own = {
            name: Query(tuple(model["key"]), model["sql"]) for name, model in self._settings.models.items()
        }
        counts, findings = gold.check(self._run_sql, claims, own or QUERIES)
        for name, rows in counts.items():
            self._outcome.counts[f"gold.{name}"] = Counter(rows=rows)
        self._note(*findings)


def _source_reader(cut: Cut, suspects: Suspects) -> Reader:
    return cut.reader(suspects.table, {column.name: column.type for column in suspects.silver.columns})
