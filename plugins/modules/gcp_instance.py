#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_instance
short_description: Manage a virtual machine of Compute Engine
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Makes, mends, starts, stops and deletes a VM, and waits until it is so.
  - Unlike C(google.cloud.gcp_compute_instance) it knows Spot VMs, schedules and limits on the running time,
    tells the truth in check mode, and shows what differs.
  - What C(initializeParams) of the disk that a VM starts from say of size and type holds later too. It can
    grow, and nothing else.
  - Disks that are attached by their C(source), without C(autoDelete), outlive the VM.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  name:
    description:
      - Name of the VM.
    type: str
    required: true
  zone:
    description:
      - Zone that it is in. It cannot change.
    type: str
    required: true
  state:
    description:
      - V(present) makes and mends the VM, and leaves it running or stopped as it is; a new one runs.
      - V(running) and V(stopped) start and stop it and wait; with O(spec) they mend it too.
      - V(absent) deletes it.
    type: str
    choices: [present, running, stopped, absent]
    default: present
  spec:
    description:
      - The VM as Compute Engine's API writes it, without C(name). What is not written is left alone.
      - Required to make one.
    type: dict
  allow_stop:
    description:
      - Whether a running VM may be stopped, and started again, for a change that needs it, such as another
        machine type, or to become a Spot VM or none. Otherwise such a change is an error.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A Spot VM that is stopped, not deleted, when Google takes it back
  cdc.lakehouse.gcp_instance:
    project: shop-lakehouse
    name: node1
    zone: europe-west3-a
    spec:
      machineType: projects/shop-lakehouse/zones/europe-west3-a/machineTypes/e2-standard-2
      disks:
        - boot: true
          autoDelete: true
          initializeParams: {sourceImage: projects/debian-cloud/global/images/family/debian-12}
      networkInterfaces:
        - subnetwork: projects/shop-lakehouse/regions/europe-west3/subnetworks/lakehouse
      scheduling: {provisioningModel: SPOT, instanceTerminationAction: STOP}

- name: Stop it
  cdc.lakehouse.gcp_instance:
    project: shop-lakehouse
    name: node1
    zone: europe-west3-a
    state: stopped
"""

RETURN = r"""
status:
  description: What the VM does after the task, in check mode before it. Empty without a VM.
  returned: success
  type: str
  sample: RUNNING
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_instance


def main() -> None:
    gcp.run(
        {
            "name": {"type": "str", "required": True},
            "zone": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "running", "stopped", "absent"],
                "default": "present",
            },
            "spec": {"type": "dict"},
            "allow_stop": {"type": "bool", "default": False},
        },
        bring,
    )


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Bring the VM to what the options say; the module's result."""
    params = module.params
    vm = gcp_instance.Vm(client, params["name"], params["zone"])
    steps = vm.plan(params["state"], params["spec"], allow_stop=params["allow_stop"])
    if not module.check_mode:
        vm.apply(steps)
    return {"changed": steps.changes, "status": vm.status(), "diff": steps.diff}


if __name__ == "__main__":
    main()
