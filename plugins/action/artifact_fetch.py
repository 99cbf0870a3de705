# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Fetch locked files to the controller's cache, several at a time.

An action plugin, because a module run for each of a hundred files takes minutes, and because only it can show
progress.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_fetch import FetchError, fetch_files
from ansible_collections.community.general.plugins.modules import maven_artifact


class ActionModule(ActionBase):
    """The action."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fetch all files, or fail with the first error after the others have come."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "files": {"type": "list", "elements": "dict", "required": True},
                "folder": {"type": "path", "required": True},
                "repository": {"type": "str", "default": ""},
                "setting": {"type": "str", "default": ""},
            },
        )
        repository = arguments["repository"] or default_repository()
        folder = Path(arguments["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        try:
            count = fetch_files(arguments["files"], folder, repository, Display().display)
        except FetchError as error:
            now = "set to that" if arguments["repository"] else "not set"
            setting = arguments["setting"] or f"lakehouse_maven_repository (now {now})"
            raise AnsibleActionFail(
                f"{error} Point {setting} at what this machine reaches, or put the files into {folder} "
                "by hand, and run again. Nothing was installed."
            ) from error
        return {**result, "changed": False, "msg": f"{count} files fetched"}


def default_repository() -> str:
    """Maven Central, as the module of community.general names it."""
    options = yaml.safe_load(maven_artifact.DOCUMENTATION)["options"]
    repository: str = options["repository_url"]["default"]
    return repository
