"""What all tests share: the rule on skips, which tests are long, and which run in one process."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.skips"]

# How long an example takes says nothing on a machine that does other things, too.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", "long: run by `make test-all` only")
    config.addinivalue_line("markers", "slow: left out by `make test-fast`")


# What shares something slow to set up, by folder: one process runs all of it. The lab takes longest.
SHARED = ("e2e", "spark", "unit")


class Together(LoadScopeScheduling):
    """Gives each process all tests of a folder, or one scenario."""

    def _split_scope(self, nodeid: str) -> str:
        folder = Path(nodeid.partition("::")[0]).parent.name
        return folder if folder in SHARED else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together:
    """Say how tests are shared out."""
    config.option.loadscopereorder = False
    return Together(config, log)


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
