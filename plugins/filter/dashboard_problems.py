# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What is wrong with dashboards' definitions, for the role metabase."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dashboard_problems
short_description: Say what is wrong with definitions of dashboards
version_added: 0.1.0
author: The cdc.lakehouse authors
description: Judges them as M(cdc.lakehouse.metabase_dashboard) does, before there is a Metabase.
options:
  _input:
    description: The texts of the files, by their names.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse a wrong definition
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    text: "{{ lookup('ansible.builtin.file', 'dashboards/orders.yml') }}"
    problems: "{{ {'orders.yml': text} | cdc.lakehouse.dashboard_problems }}"
"""

RETURN = r"""
_value:
  description: A message for each file that is wrong, with its name and the place.
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import MetabaseError
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import Definition, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def dashboard_problems(texts: Mapping[str, str]) -> list[str]:
    """Judge each."""
    problems = []
    for file, text in texts.items():
        try:
            read(file, text)
        except MetabaseError as error:
            problems.append(str(error))
    return problems


def read(file: str, text: str) -> Definition:
    """The definition in the text of a file.

    Raises:
        MetabaseError: It is wrong; the message names the file, the place, the value and the way out.
    """
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MetabaseError(f"{file}: no YAML: {error}") from error
    if not isinstance(given, dict):
        raise MetabaseError(f"{file} is no mapping; give name, cards and the like.")
    try:
        return parse(given)
    except MetabaseError as error:
        raise MetabaseError(f"{file}: {error}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"dashboard_problems": dashboard_problems}
