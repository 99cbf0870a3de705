"""What several tests here use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import local_postgresql


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A PostgreSQL 15 with an empty database, by the folder of its socket."""
    with local_postgresql.running() as folder:
        yield folder
