"""What silver adds to a table's own columns, and how columns are named in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return f"`{name.replace('`', '``')}`"


POSITION = "struct<epoch: string, partition: int, offset: bigint>"
EVENT = (
    "struct<epoch: string, partition: int, offset: bigint, lsn: bigint, source_ts: timestamp, op: string, "
    "tx_id: bigint>"
)

HISTORY_COLUMNS = {
    "valid_from": "timestamp",
    "valid_to": "timestamp",
    "is_current": "boolean",
    "version": "int",
    "valid_from_lsn": "bigint",
    "valid_from_snapshot": "boolean",
    "valid_from_position": POSITION,
    "valid_to_position": POSITION,
}
HIDDEN_COLUMNS = {
    # true in each key's latest version and in no other: a batch reads and changes no others
    "_head": "boolean",
    # the event that touched the version last; of a closed version, the one that closed it
    "_applied": EVENT,
}

PLACE = "_place"
"""Beside the columns of a file that is read: where in it a row is."""

HEADS = {"_head": "true"}
"""The partition of the latest versions."""

CURRENT = "_head AND is_current"
"""The condition of the current rows; `_head` leaves all files of closed versions unread."""
