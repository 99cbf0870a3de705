"""What all tests share: the rule on skips, which tests are long, and which run in one process."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.skips"]


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", "long: run by `make test-all` only")


# What shares something slow to set up, by folder: one process runs all of it. The lab takes longest.
SHARED = {"e2e": "lab", "spark": "spark", "unit": "unit"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say which tests belong together."""
    if group := SHARED.get(item.path.parent.name):
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless all are asked for."""
    order = [*SHARED, "molecule"]
    items.sort(key=lambda item: order.index(item.path.parent.name))
    if os.environ.get("CDC_LONG_TESTS"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
