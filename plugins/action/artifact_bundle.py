# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Verify a locked artifact's downloads in the controller's cache and make one bundle of them.

An action plugin, because the cache is the controller's: a module would be a process more in each run.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    LOCK,
    Artifact,
    ArtifactError,
    file_name,
)


class ActionModule(ActionBase):
    """The action."""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the files with the lock, and make the bundle where it is wanted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "entry": {"type": "dict", "required": True},
                "cache": {"type": "path", "required": True},
                "build": {"type": "bool", "default": False},
                "root": {"type": "path"},
            },
        )
        try:
            if not arguments["entry"]:
                raise ArtifactError(f"{arguments['name']} is no entry of {LOCK}.")
            artifact = Artifact(arguments["name"], arguments["entry"], arguments["cache"])
            artifact.verify(again=arguments["build"])
            missing = [{**file, "file": file_name(file)} for file in artifact.missing()]
            if arguments["build"]:
                if missing:
                    raise ArtifactError(f"The cache lacks {', '.join(file['file'] for file in missing)}.")
                result["sha256"] = artifact.build()
        except (ArtifactError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        if arguments["root"]:
            result["node"] = self._node(artifact, arguments["root"], task_vars)
        return {
            **result,
            "changed": False,
            "directory": artifact.directory,
            "bundle": str(artifact.bundle),
            "files": str(artifact.cache / "files"),
            "missing": missing,
        }

    def _node(self, artifact: Artifact, root: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """What the node has of it."""
        self._task.check_mode = True
        found: dict[str, Any] = self._execute_module(
            module_name="cdc.lakehouse.artifact_install",
            module_args={"name": artifact.name, "directory": artifact.directory, "root": root},
            task_vars=task_vars,
        )
        if found.get("failed"):
            raise AnsibleActionFail(str(found.get("msg")), result=found)
        return {fact: found[fact] for fact in ("whole", "linked", "manifest")}
