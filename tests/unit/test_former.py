"""A table or a model that is taken out of the list leaves the catalog, and what it has left is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lakehouse import catalog, config, former
from lakehouse.config import Config
from test_jobs_config import GOOD

MODEL = """-- keys: [status]
-- changes:
--   orders: SELECT status FROM {changes}
SELECT status FROM {orders}
"""


@pytest.fixture(autouse=True)
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "gold"
    folder.mkdir()
    (folder / "by_status.sql").write_text(MODEL)
    return folder


def listing(folder: Path, *names: str) -> Config:
    tables = [{**GOOD["tables"][0], "name": name} for name in names]
    data: dict[str, Any] = {
        **GOOD,
        "tables": tables,
        "state": str(folder / "state"),
        "gold_models": str(folder / "gold"),
    }
    return config.parse(data)


def gone(settings: Config) -> set[str]:
    entries = catalog.entries(settings)
    return {f"{entry['database']}.{entry['name']}" for entry in entries if entry.get("state") == "absent"}


def test_it_goes_from_the_catalog_and_its_rows_from_the_driver(tmp_path: Path, models: Path) -> None:
    both = listing(tmp_path, "public.orders", "sales.items")
    former.note(both)
    files = ("orders.sqlite", "sales_items.sqlite", "sales_items.sqlite-wal")
    heads = [both.state / name for name in files]
    for file in heads:
        file.touch()
    assert gone(both) == {"silver.quality"}  # of which there is no rule

    (models / "by_status.sql").rename(models / "states.sql")
    for _ in range(2):
        settings = listing(tmp_path, "public.orders")
        views = {"bronze.sales_items", "silver.sales_items", "silver.sales_items_history"}
        assert gone(settings) == {"silver.quality", "gold.by_status", "silver.sales_items_versions", *views}
        assert former.paths(settings) == [
            "gs://lakehouse/silver/sales_items",
            "gs://lakehouse/gold/by_status",
        ]
        former.note(settings)
    assert [file.exists() for file in heads] == [True, False, False]

    assert gone(both) == {"silver.quality", "gold.by_status"}


def test_a_view_that_another_table_has_now_stays(tmp_path: Path) -> None:
    former.note(listing(tmp_path, "public.orders_history"))
    found = gone(listing(tmp_path, "public.orders"))
    assert "silver.orders_history" not in found
    assert "silver.orders_history_versions" in found
