"""Prove that the lakehouse holds what the source holds. Needs to reach source, Kafka and Thrift Server."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pyhive import hive

from lakehouse_verify import settings
from lakehouse_verify.finding import VerifyError
from lakehouse_verify.report import differences, render
from lakehouse_verify.rows import RunSql
from lakehouse_verify.run import Outcome, Verification
from lakehouse_verify.source import Source


@contextmanager
def thrift(server: Mapping[str, Any]) -> Iterator[RunSql]:
    """Run SQL through the Thrift Server."""
    with closing(hive.connect(**server)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("set time zone 'UTC'")

        def run_sql(query: str) -> list[tuple[Any, ...]]:
            cursor.execute(query)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

        yield run_sql


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify; 0: everything is as it should be, 1: there are differences, 2: it could not be found out."""
    parser = argparse.ArgumentParser(prog="lakehouse_verify", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the settings, as JSON")
    config = parser.parse_args(arguments).config
    outcome = Outcome()
    try:
        known = settings.load(config)
        with (
            closing(Source(known.source, known.slot, known.mask_salt)) as source,
            thrift(known.thrift) as run_sql,
        ):
            Verification(known, source, run_sql, outcome).run()
    except VerifyError as error:
        _end_early(outcome, str(error))
        return 2
    except Exception as error:  # a server that does not answer is no difference
        traceback.print_exc()
        _end_early(outcome, f"{type(error).__name__}: {error}; see `make status`")
        return 2
    print(render(outcome))
    return int(any(finding.differences for finding in outcome.findings))


def _end_early(outcome: Outcome, why: str) -> None:
    """Tell that nothing is proved; but what was found to be wrong is."""
    if lines := differences(outcome):
        print("\n".join(lines))
    print(f"nothing is proved: {why}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
