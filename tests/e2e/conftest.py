"""The running lab, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.running_lab import Lab


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab: as it is when it is healthy; else brought up, and down again for the tests that come after."""
    lab = Lab()
    if not lab.make("status", check=False).returncode:
        yield lab
        return
    lab.bring_up(tmp_path_factory.mktemp("up"))
    yield lab
    lab.make("down")


@pytest.fixture(scope="module")
def no_traffic(lab: Lab) -> Iterator[None]:
    """The shop rests meanwhile: its traffic takes most of a core, and these tests do not look at it."""
    lab.run("node1", "systemctl", "stop", "data-generator")
    yield
    lab.run("node1", "systemctl", "start", "data-generator")
