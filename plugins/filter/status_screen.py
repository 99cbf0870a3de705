# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The state of the lakehouse on one screen, for playbooks/status.yml."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_screen
short_description: Show a status report on one screen
version_added: 0.1.0
author: The cdc.lakehouse authors
description: Services, memory, disks, the stream, and what is wrong. Serves playbooks/status.yml.
options:
  _input:
    description: What P(cdc.lakehouse.status_report#filter) gives.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ picture | cdc.lakehouse.status_screen }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.status_report import screen

if TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"status_screen": screen}
