#!/usr/bin/python
# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Verify a locked artifact's downloads in the controller's cache and make one bundle of them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_bundle
short_description: Verify locked downloads and bundle them
description:
  - Compares every file of one entry of files/artifacts.lock.yml that the cache holds with the lock.
    A wrong one is an error.
  - With O(build=true), makes one tar of them, the same to the byte wherever it is made.
  - The cache is no host's state, so nothing here counts as a change.
author: The cdc.lakehouse authors (@cdc-lakehouse)
options:
  name:
    description: The entry's name.
    type: str
    required: true
  entry:
    description:
      - The entry; or, for a program of this collection, C(version) and C(trees), which names the controller's
        folder for each folder of the node. Its files C(*.py) and C(*.sql) then name the version.
    type: dict
    required: true
  cache:
    description: The cache's folder.
    type: path
    required: true
  build:
    description: Whether to make the bundle; needs every file in the cache.
    type: bool
    default: false
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Look at the cache
  cdc.lakehouse.artifact_bundle:
    name: kafka
    entry: "{{ lock.kafka }}"
    cache: /var/cache/cdc-lakehouse
  delegate_to: localhost
"""

RETURN = r"""
directory:
  description: Name of the folder that this entry makes on a node.
  type: str
  returned: always
missing:
  description: The locked files that the cache lacks.
  type: list
  elements: dict
  returned: always
files:
  description: The folder of the cache that holds the downloads.
  type: str
  returned: always
bundle:
  description: The bundle's path.
  type: str
  returned: always
sha256:
  description: The bundle's SHA-256.
  type: str
  returned: when O(build=true)
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    Artifact,
    ArtifactError,
    file_name,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "entry": {"type": "dict", "required": True},
            "cache": {"type": "path", "required": True},
            "build": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        artifact = Artifact(module.params["name"], module.params["entry"], module.params["cache"])
        artifact.verify()
        missing = [{**file, "file": file_name(file)} for file in artifact.missing()]
        result = {
            "directory": artifact.directory,
            "bundle": str(artifact.bundle),
            "files": str(artifact.cache / "files"),
            "missing": missing,
        }
        if module.params["build"]:
            if missing:
                raise ArtifactError(f"The cache lacks {', '.join(file['file'] for file in missing)}.")
            result["sha256"] = artifact.build()
    except (ArtifactError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
