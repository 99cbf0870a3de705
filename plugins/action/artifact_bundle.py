# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Verify a locked artifact's downloads in the controller's cache and make one bundle of them.

An action plugin, because it concerns the controller alone: a module would be a process more in each run.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    Artifact,
    ArtifactError,
    file_name,
)


class ActionModule(ActionBase):
    """The action."""

    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the files with the lock, and make the bundle where it is wanted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "entry": {"type": "dict", "required": True},
                "cache": {"type": "path", "required": True},
                "build": {"type": "bool", "default": False},
            },
        )
        try:
            artifact = Artifact(arguments["name"], arguments["entry"], arguments["cache"])
            artifact.verify(again=arguments["build"])
            missing = [{**file, "file": file_name(file)} for file in artifact.missing()]
            if arguments["build"]:
                if missing:
                    raise ArtifactError(f"The cache lacks {', '.join(file['file'] for file in missing)}.")
                result["sha256"] = artifact.build()
        except (ArtifactError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        return {
            **result,
            "changed": False,
            "directory": artifact.directory,
            "bundle": str(artifact.bundle),
            "files": str(artifact.cache / "files"),
            "missing": missing,
        }
