"""What all tests share: the rule on skips, and which tests are long."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.skips"]


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", "long: run by `make test-all` only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless all are asked for."""
    if os.environ.get("CDC_LONG_TESTS"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
