#!/usr/bin/python
# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What runs on a node and what it uses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_status
short_description: Tell what runs on a node and what it uses
version_added: 0.1.0
author: The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Reads the state of systemd units, the memory that the node's processes hold, and how full its disks are.
  - Changes nothing.
options:
  units:
    description: Units to look at, services without their C(.service), timers with C(.timer).
    type: list
    elements: str
    required: true
  paths:
    description: Folders whose file systems are measured; several on one file system count once.
    type: list
    elements: str
    default: [/]
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: none
    description: Nothing changes.
"""

EXAMPLES = r"""
- name: Look at the node
  cdc.lakehouse.node_status:
    units: [kafka, debezium]
  register: node
"""

RETURN = r"""
units:
  description: One entry a unit, by its name.
  type: dict
  returned: always
  sample: {kafka: {state: active, since: 1763884800, restarts: 0, main_pid: 321}}
resident_bytes:
  description: Memory that all processes of the node hold, shared pages counted once.
  type: int
  returned: always
disks:
  description: One entry a file system.
  type: list
  elements: dict
  returned: always
  sample: [{path: /, total_bytes: 53687091200, used_bytes: 10737418240}]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.node import disks, resident_bytes, units_from_show

PROPERTIES = "Id,LoadState,ActiveState,ActiveEnterTimestamp,NRestarts,MainPID"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "default": ["/"]},
        },
        supports_check_mode=True,
    )
    units = {}
    if module.params["units"]:
        names = [name if name.endswith(".timer") else name + ".service" for name in module.params["units"]]
        command = ["systemctl", "show", "--timestamp=unix", "--property=" + PROPERTIES] + names
        units = units_from_show(module.run_command(command, check_rc=True)[1])
    module.exit_json(
        units=units,
        resident_bytes=resident_bytes(),
        disks=disks(path for path in module.params["paths"] if Path(path).is_dir()),
    )


if __name__ == "__main__":
    main()
