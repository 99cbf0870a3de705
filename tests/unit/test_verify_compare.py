"""How verify tells a row that moved from a row that differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from lakehouse_verify.compare import Look, report, settle
from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.rows import Column, PostgreSQL, Reader, Rows

COLUMNS = (Column("order_id", "bigint"), Column("status", "text"))
READER = Reader(lambda query: [], PostgreSQL(), "orders", COLUMNS, COLUMNS[:1])


def rows(**status: str | None) -> Rows[str]:
    """Rows of orders by key; None: no row."""
    return {key: [(key.removeprefix("k"), value)] for key, value in status.items() if value is not None}


def looks(*seen: Look[str]) -> Callable[[Collection[str]], Look[str]]:
    """Answer the first question with the first look, and so on; the last one stays."""
    waiting = list(seen)
    return lambda keys: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def soon() -> float:
    """A deadline that is far away for a test that does not wait."""
    return time.monotonic() + 60


def test_a_key_that_the_lakehouse_shows_late_is_right() -> None:
    behind = Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))
    there = Look(rows(k1="paid"), rows(k1="paid"), rows(k1="paid"))
    assert settle(["k1"], looks(behind, there), soon()) == {}


def test_a_key_that_moved_between_the_readings_is_right() -> None:
    assert settle(["k1"], looks(Look(rows(k1="placed"), rows(k1="paid"), rows(k1="paid"))), soon()) == {}
    assert settle(["k1"], looks(Look(rows(k1="placed"), rows(k1="placed"), rows(k1=None))), soon()) == {}


def test_a_key_that_differs_while_the_source_stands_still_is_wrong_before_the_deadline() -> None:
    stale = Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))
    assert settle(["k1"], looks(stale), soon()) == {"k1": stale}


def test_a_key_that_never_stands_still_is_wrong_at_the_deadline() -> None:
    moving = Look(rows(k1="placed"), rows(k1="?"), rows(k1="paid"))
    assert settle(["k1"], looks(moving), time.monotonic()) == {"k1": moving}


def test_only_what_is_wrong_is_reported_and_named() -> None:
    seen = Look(
        rows(k1="paid", k2="paid", k3=None, k4="paid"),
        {"k1": [("1", "paid")], "k3": [("3", "paid")], "k4": [("4", "paid"), ("4", "paid")]},
        rows(k1="paid", k2="paid", k3=None, k4="paid"),
    )
    wrong = settle(["k1", "k2", "k3", "k4"], looks(seen), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert finding.differences == 3
    assert finding.examples == [
        "order_id=2: missing",
        "order_id=3: should not be there",
        "order_id=4: 2 rows, expected 1",
    ]


def test_a_wrong_value_is_shown_with_what_it_should_be() -> None:
    wrong = settle(["k1"], looks(Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert finding.examples == ["order_id=1: status is 'placed', expected 'paid'"]


def test_a_broken_table_gives_a_few_examples() -> None:
    keys = {f"k{number}": "paid" for number in range(50)}
    wrong = settle(keys, looks(Look(rows(**keys), {}, rows(**keys))), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert (finding.differences, len(finding.examples)) == (50, EXAMPLES)
