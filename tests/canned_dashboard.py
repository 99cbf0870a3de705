"""A dashboard with a card of each kind, and results for them, some of them hostile."""

from __future__ import annotations

from typing import Any

HOSTILE = "<script>alert(1)</script></script> & 'more'"
DAY, ORDERS, AMOUNT, NAME = (
    {"name": "day", "type": "DATE"},
    {"name": "orders", "type": "BIGINT"},
    {"name": "amount", "type": "DECIMAL"},
    {"name": "name", "type": "STRING"},
)
EUR = {"number_style": "currency", "currency": "EUR"}
MONEY = {'["name","amount"]': EUR}


def _card(name: str, display: str, row: int, col: int, **settings: Any) -> dict[str, Any]:
    at = {"row": row, "col": col, "width": 12, "height": 6}
    plain = {key.replace("__", "."): value for key, value in settings.items()}
    return {
        "name": name,
        "display": display,
        "sql": "select {{days}} [[where country = {{country}}]]",
        "at": at,
        "settings": plain,
    }


DEFINITION: dict[str, Any] = {
    "name": "Canned <b>",
    "description": "Every kind of card.",
    "refresh": 60,
    "parameters": [
        {"slug": "days", "name": "Days", "type": "number/=", "default": 30},
        {"slug": "country", "name": "Country", "type": "string/="},
    ],
    "cards": [
        _card("Orders", "smartscalar", 0, 0, scalar__field="orders"),
        _card(
            "Cancelled", "smartscalar", 0, 12, scalar__field="orders", scalar__switch_positive_negative=True
        ),
        _card("Amount", "scalar", 6, 0, scalar__field="amount", column_settings=MONEY),
        _card("Line", "line", 6, 12, graph__dimensions=["day"], graph__metrics=["orders", "amount"]),
        _card(
            "Area",
            "area",
            12,
            0,
            graph__dimensions=["day", "name"],
            graph__metrics=["amount"],
            stackable__stack_type="stacked",
            column_settings=MONEY,
        ),
        _card("Bars", "bar", 12, 12, graph__dimensions=["day"], graph__metrics=["orders"]),
        _card("Rows", "row", 18, 0, graph__dimensions=["name"], graph__metrics=["orders"]),
        _card("Pie", "pie", 18, 12, pie__dimension="name", pie__metric="orders"),
        _card("Table", "table", 24, 0, column_settings=MONEY),
        _card("Nothing", "table", 24, 12),
        _card("Groups", "bar", 30, 0, graph__dimensions=["name"], graph__metrics=["orders"]),
    ],
}


def _result(columns: list[dict[str, str]], rows: list[list[Any]]) -> dict[str, Any]:
    return {"columns": columns, "rows": rows, "seconds": 1.25}


RESULTS: list[dict[str, Any]] = [
    _result([DAY, ORDERS], [["2026-02-01", 1000], ["2026-02-08", 1234]]),
    _result([DAY, ORDERS], [["2026-02-01", 8], ["2026-02-08", 4]]),
    _result([AMOUNT], [["12345678901234567.89"]]),
    _result([DAY, ORDERS, AMOUNT], [[f"2026-02-{day:02}", day * 7 % 11, f"{day}.5"] for day in range(1, 29)]),
    _result(
        [DAY, NAME, AMOUNT],
        [[f"2026-02-{day:02}", name, f"{day}.25"] for day in range(1, 9) for name in ("garden", HOSTILE)],
    ),
    _result([DAY, ORDERS], [["2026-02-01", 5]]),
    _result([NAME, ORDERS], [[HOSTILE, 9], ["garden", 4], [None, 1]]),
    _result([NAME, ORDERS], [["garden", 9], [HOSTILE, 4]]),
    _result([NAME, ORDERS, AMOUNT], [[HOSTILE, 3, "1234.50"], [None, None, "-2.00"]]),
    _result([NAME], []),
    _result([NAME, ORDERS], [["0", 1], ["1", 2], ["2", 3], ["3 or more", 9]]),
]
