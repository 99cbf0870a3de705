#!/usr/bin/python
# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Unpack a bundle to its versioned folder on a node and point the link at it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_install
short_description: Install a bundle into a versioned folder
description:
  - Compares the folder with what was unpacked there (size, time and mode of every file), and its link.
  - Where they differ, checks the bundle, unpacks it beside the place and moves it there.
author: The cdc.lakehouse authors (@cdc-lakehouse)
options:
  name:
    description: The entry's name, which is the link's too.
    type: str
    required: true
  directory:
    description: Name of the versioned folder.
    type: str
    required: true
  root:
    description: Where folder and link are.
    type: path
    default: /opt/cdc-lakehouse
  bundle:
    description: The bundle on the node; removed after unpacking. Needed where the folder is not whole.
    type: path
  sha256:
    description: The bundle's SHA-256.
    type: str
attributes:
  check_mode:
    description: Tells what would change; needs no bundle.
    support: full
  diff_mode:
    description: Names the folder before and after, and the files that differ.
    support: full
"""

EXAMPLES = r"""
- name: Install Kafka
  cdc.lakehouse.artifact_install:
    name: kafka
    directory: kafka-4.3.1-0123456789ab
    bundle: /opt/cdc-lakehouse/.kafka.tar
    sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
"""

RETURN = r"""
manifest:
  description: SHA-256 of the folder's manifest, another one after each installation.
  type: str
  returned: always
whole:
  description: Whether the folder was as unpacked before.
  type: bool
  returned: always
linked:
  description: Whether the link names the folder.
  type: bool
  returned: always
differences:
  description: The first files that were not.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import ArtifactError
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_install import Installation


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt/cdc-lakehouse"},
            "bundle": {"type": "path"},
            "sha256": {"type": "str"},
        },
        required_together=[("bundle", "sha256")],
        supports_check_mode=True,
    )
    there = Installation(module.params["root"], module.params["name"], module.params["directory"])
    differences = there.differences()
    previous = str(there.link.readlink()) if there.link.is_symlink() else None
    changed = bool(differences) or not there.linked()
    if changed and not module.check_mode:
        try:
            if differences:
                if not module.params["bundle"]:
                    raise ArtifactError(f"{there.folder} is not whole and no bundle was given.")
                there.install(Path(module.params["bundle"]), module.params["sha256"])
                Path(module.params["bundle"]).unlink()
            if not there.linked():
                there.point()
                there.prune(previous)
        except (ArtifactError, OSError) as error:
            module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        whole=not differences,
        linked=there.linked(),
        manifest="to be made" if differences and module.check_mode else there.manifest(),
        differences=differences[:20],
        diff={
            "before": f"{there.link} -> {previous}\n"
            + "".join(f"differs: {place}\n" for place in differences[:20]),
            "after": f"{there.link} -> {there.folder.name}\n",
        },
    )


if __name__ == "__main__":
    main()
