# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The name of a column as Debezium's settings take it, for the role debezium."""

from __future__ import annotations

DOCUMENTATION = r"""
name: column_pattern
short_description: Write the name of a column as a regular expression in a file of Java properties
version_added: 0.1.0
author: The cdc.lakehouse authors
description: Debezium's lists of columns are regular expressions. This one matches the name, and nothing else.
options:
  _input:
    description: The column, as C(schema.table.column); any characters.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Leave a column out
  ansible.builtin.lineinfile:
    path: application.properties
    line: "debezium.source.column.exclude.list={{ 'public.t.price (EUR)' | cdc.lakehouse.column_pattern }}"
"""

RETURN = r"""
_value:
  description: The text for the file, here C(public\\.t\\.price\\x{20}\\x{28}EUR\\x{29}).
  type: str
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def column_pattern(name: str) -> str:
    r"""Write it.

    Signs are written as codes: Debezium would end an entry at a comma and cut off spaces around it, and
    Quarkus would take the backslash from \$. The file itself takes one backslash of two.
    """
    return re.sub(
        "[^A-Za-z0-9_]", lambda found: r"\\." if found[0] == "." else rf"\\x{{{ord(found[0]):x}}}", name
    )


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name it."""
        return {"column_pattern": column_pattern}
