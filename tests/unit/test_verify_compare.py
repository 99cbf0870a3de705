"""How verify tells a row that moved from a row that differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from lakehouse_verify.compare import PORTION, Look, report, settle
from lakehouse_verify.finding import EXAMPLES, Finding
from lakehouse_verify.rows import Column, PostgreSQL, Reader, Rows

Tables = Mapping[str, Collection[str]]

COLUMNS = (Column("order_id", "bigint"), Column("status", "text"))
READER = Reader(lambda query: [], PostgreSQL(), "orders", COLUMNS, COLUMNS[:1])


def rows(**status: str | None) -> Rows[str]:
    """Rows of orders by key; None: no row."""
    return {key: [(key.removeprefix("k"), value)] for key, value in status.items() if value is not None}


def looks(*seen: Look[str]) -> Callable[[Tables], Mapping[str, Look[str]]]:
    """Answer the first question with the first look, and so on; the last one stays."""
    waiting = list(seen)
    return lambda keys: dict.fromkeys(keys, waiting.pop(0) if len(waiting) > 1 else waiting[0])


def settled(
    keys: Collection[str], look: Callable[[Tables], Mapping[str, Look[str]]], deadline: float
) -> dict[str, Look[str]]:
    """The keys of one table that are wrong."""
    return settle({"orders": keys}, look, deadline)["orders"].wrong


def soon() -> float:
    """A deadline that is far away for a test that does not wait."""
    return time.monotonic() + 60


def test_a_key_that_the_lakehouse_shows_late_is_right() -> None:
    behind = Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))
    there = Look(rows(k1="paid"), rows(k1="paid"), rows(k1="paid"))
    assert settled(["k1"], looks(behind, there), soon()) == {}


def test_a_key_that_moved_between_the_readings_is_right() -> None:
    assert settled(["k1"], looks(Look(rows(k1="placed"), rows(k1="paid"), rows(k1="paid"))), soon()) == {}
    assert settled(["k1"], looks(Look(rows(k1="placed"), rows(k1="placed"), rows(k1=None))), soon()) == {}


def test_a_key_that_differs_while_the_source_stands_still_is_wrong_before_the_deadline() -> None:
    stale = Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))
    assert settled(["k1"], looks(stale), soon()) == {"k1": stale}


def test_of_a_key_that_never_stands_still_nothing_is_known_at_the_deadline() -> None:
    moving = Look(rows(k1="placed", k2="paid"), rows(k1="?", k2="?"), rows(k1="paid", k2="paid"))
    settling = settle({"orders": ["k1", "k2"]}, looks(moving), time.monotonic())["orders"]
    assert (settling.wrong, settling.restless) == ({"k2": moving}, 1)


def test_only_what_is_wrong_is_reported_and_named() -> None:
    seen = Look(
        rows(k1="paid", k2="paid", k3=None, k4="paid"),
        {"k1": [("1", "paid")], "k3": [("3", "paid")], "k4": [("4", "paid"), ("4", "paid")]},
        rows(k1="paid", k2="paid", k3=None, k4="paid"),
    )
    wrong = settled(["k1", "k2", "k3", "k4"], looks(seen), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert finding.differences == 3
    assert finding.examples == [
        "order_id=2: missing",
        "order_id=3: should not be there",
        "order_id=4: 2 rows, expected 1",
    ]


def test_a_wrong_value_is_shown_with_what_it_should_be() -> None:
    wrong = settled(["k1"], looks(Look(rows(k1="paid"), rows(k1="placed"), rows(k1="paid"))), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert finding.examples == ["order_id=1: status is 'placed', expected 'paid'"]


def test_a_broken_table_gives_a_few_examples() -> None:
    keys = {f"k{number}": "paid" for number in range(50)}
    wrong = settled(keys, looks(Look(rows(**keys), {}, rows(**keys))), soon())
    finding = report(Finding("silver", "orders", "equals the source"), wrong, READER)
    assert (finding.differences, len(finding.examples)) == (50, EXAMPLES)


def test_a_table_with_a_fault_hides_no_other() -> None:
    stale = rows(**{f"k{number}": "placed" for number in range(PORTION + 500)})
    paid: Rows[str] = {key: [(key.removeprefix("k"), "paid")] for key in stale}
    suspects = {"orders": stale, "customers": ["k1"], "products": ["k2"]}

    def look(keys: Tables) -> dict[str, Look[str]]:
        return {table: Look(paid, paid if table == "products" else stale, paid) for table in keys}

    found = settle(suspects, look, soon())
    assert {table: (len(one.wrong), one.unseen) for table, one in found.items()} == {
        "orders": (PORTION, 500),
        "customers": (1, 0),
        "products": (0, 0),
    }


def test_a_fault_behind_many_keys_that_moved_is_found() -> None:
    keys = [f"k{number:05}" for number in range(PORTION + 1)]
    paid = rows(**dict.fromkeys(keys, "paid"))
    lake: Rows[str] = {**paid, keys[-1]: [("1", "placed")]}
    assert settled(keys, looks(Look(paid, lake, paid)), soon()).keys() == {keys[-1]}
