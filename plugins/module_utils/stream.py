# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Readings of the stream: the source's slot, the pipeline's own account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 4  # seconds; the whole status is to take less than ten

# Debezium notes what it has delivered, and its heartbeat gives it something to deliver every few seconds.
SLOT = """
select active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       (select extract(epoch from now()) - max((offset_val::json ->> 'ts_usec')::numeric) / 1000000
        from cdc.offsets where offset_val not like '%%"snapshot":%%')::float
from pg_replication_slots where slot_name = %s
"""


def slot_status(source: Mapping[str, Any], slot: str) -> dict[str, Any]:
    """Ask the source about its replication slot."""
    import psycopg2

    connection = psycopg2.connect(**source, connect_timeout=TIMEOUT, application_name="lakehouse-status")
    try:
        with connection.cursor() as cursor:
            cursor.execute(SLOT, [slot])
            found = cursor.fetchone()
    finally:
        connection.close()
    if found is None:
        raise LookupError(f"there is no replication slot {slot!r}")
    return dict(zip(("active", "wal_status", "lag_bytes", "delivered_seconds"), found, strict=True))


def pipeline_status(path: str) -> dict[str, Any]:
    """Read what the pipeline wrote about itself."""
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content
