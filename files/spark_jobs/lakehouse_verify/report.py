"""The outcome, for people."""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse_verify.run import Outcome

COUNTS = ("source", "events", "versions", "open", "current", "rows")


def render(outcome: Outcome) -> str:
    """Counts by table, then each check, and what is wrong with examples."""
    counts = [["table", *COUNTS]]
    for table, found in outcome.counts.items():
        counts.append([table, *(str(found[name]) if name in found else "-" for name in COUNTS)])
    checks = [["layer", "table", "check", "differences"]]
    for finding in outcome.findings:
        checks.append([finding.layer, finding.table, finding.check, str(finding.differences)])
    wrong = [finding for finding in outcome.findings if finding.differences]
    lines = [f"cut of the source at {outcome.lsn}", "", *_table(counts), "", *_table(checks), ""]
    lines += [*differences(outcome), *outcome.notes]
    lines.append(
        f"{len(outcome.findings)} checks, {len(wrong)} failed"
        if wrong
        else f"{len(outcome.findings)} checks, no difference"
    )
    return "\n".join(lines)


def differences(outcome: Outcome) -> list[str]:
    """What is wrong, with examples."""
    lines = []
    for finding in outcome.findings:
        if finding.differences:
            lines.append(
                f"{finding.layer} {finding.table}: {finding.check}: {finding.differences} differences"
            )
            lines += [f"    {example}" for example in finding.examples]
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    numbers = [
        all(row[index].replace("-", "0").isdigit() for row in rows[1:]) for index in range(len(widths))
    ]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in rows
    ]
