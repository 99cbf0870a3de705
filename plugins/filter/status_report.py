# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The state of the lakehouse, for playbooks/status.yml."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_report
short_description: Put the readings of all nodes and of the stream together
version_added: 0.1.0
author: The cdc.lakehouse authors
description: Says what is wrong anywhere, and what to do about it. Serves playbooks/status.yml.
positional: _input, stream, card
options:
  _input:
    description: What M(cdc.lakehouse.node_status) returned, by host; nothing for one that did not answer.
    type: dict
    required: true
  stream:
    description: What M(cdc.lakehouse.stream_status) returned; nothing when it did not answer.
    type: dict
    required: true
  card:
    description: How C(lakehouse-sql --json) ended for one card's query; nothing when its host did not answer.
    type: dict
    required: true
  memory_bytes:
    description: What the processes of a node may hold.
    type: int
    required: true
  freshness_seconds:
    description: How old a layer may be.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Put the readings together
  ansible.builtin.set_fact:
    picture: >-
      {{ readings | cdc.lakehouse.status_report(
           stream, card, memory_bytes=8589934592, freshness_seconds=240) }}
"""

RETURN = r"""
_value:
  description: The whole picture; RV(_value.healthy) and RV(_value.problems) say what is wrong and what to do.
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.status_report import Limits, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def status_report(
    nodes: Mapping[str, Any],
    stream: Mapping[str, Any],
    card: Mapping[str, Any],
    memory_bytes: int,
    freshness_seconds: float,
) -> dict[str, Any]:
    """Put the readings together."""
    picture: dict[str, Any] = report(nodes, stream, card, Limits(int(memory_bytes), float(freshness_seconds)))
    return picture


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"status_report": status_report}
