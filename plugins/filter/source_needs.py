# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What a source that is there already lacks, for the role postgres_cdc."""

from __future__ import annotations

DOCUMENTATION = r"""
name: source_needs
short_description: Say what a PostgreSQL lacks to be a source
version_added: 0.1.0
author: The cdc.lakehouse authors
description: Gives one message with the SQL that mends all of it. Serves the role postgres_cdc.
positional: _input
options:
  _input:
    description: What the role's C(source.sql.j2) read; empty when the role C(cdc) could not log in.
    type: dict
    required: true
  where:
    description: What to call the source in the message.
    type: str
    required: true
  tables:
    description: What the role's C(catalog.sql.j2) read of each captured table.
    type: list
    elements: dict
    required: true
  wanted:
    description: What it is to serve, with C(database), C(tables) (their names), C(kept_wal), C(own_tables).
    type: dict
    required: true
  error:
    description: Why the role C(cdc) could not log in; empty when it could.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a source that is not ready
  ansible.builtin.assert:
    that: missing | length == 0
    fail_msg: "{{ missing }}"
  vars:
    missing: >-
      {{ source | cdc.lakehouse.source_needs(where='db:5432', tables=tables, wanted=wanted, error='') }}
"""

RETURN = r"""
_value:
  description: The message; empty when nothing is missing.
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.source_needs import (
    Wanted,
    message,
    needs,
    needs_of_a_stranger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def source_needs(
    source: Mapping[str, Any],
    where: str,
    tables: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, Any],
    error: str,
) -> str:
    """Say what is missing, or nothing."""
    serve = Wanted(**wanted)
    missing = needs_of_a_stranger(serve, error) if error else needs(source, tables, serve)
    return message(missing, where) if missing else ""


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"source_needs": source_needs}
