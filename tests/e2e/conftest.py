"""The running lab, for all tests here."""

from __future__ import annotations

import pytest

from tests.e2e.running_lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, brought up where it is not healthy as it is; it stays for the next run."""
    lab = Lab()
    if lab.make("status", check=False).returncode:
        lab.make("up")
    return lab
