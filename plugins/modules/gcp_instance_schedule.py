#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_instance_schedule
short_description: Manage a schedule that starts and stops virtual machines
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Compute Engine starts and stops the VMs that the schedule is attached to (C(resourcePolicies) of
    M(cdc.lakehouse.gcp_instance)). No other service is needed. A schedule stops a VM without draining
    anything.
  - Google does not change a schedule in place. Another time makes it anew; its VMs are detached and
    attached again.
  - The project's Compute Engine service agent needs C(roles/compute.instanceAdmin.v1);
    M(cdc.lakehouse.gcp_iam) grants it.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  name:
    description:
      - Name of the schedule.
    type: str
    required: true
  region:
    description:
      - Region of the schedule and of its VMs.
    type: str
    required: true
  start:
    description:
      - When VMs start, as a cron expression such as V(0 8 * * 1-5). Not set, it starts none.
    type: str
  stop:
    description:
      - When VMs stop, as a cron expression. Not set, it stops none.
    type: str
  time_zone:
    description:
      - The zone that the times are in, as the tz database names it.
    type: str
    default: UTC
  state:
    description:
      - Whether the schedule exists. V(absent) detaches it from its VMs first.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Off at night
  cdc.lakehouse.gcp_instance_schedule:
    project: shop-lakehouse
    name: lakehouse-hours
    region: europe-west3
    stop: 0 20 * * *
    time_zone: Europe/Berlin
"""

RETURN = r"""
instances:
  description: Names of the VMs that the schedule was attached to before the task.
  returned: success
  type: list
  elements: str
  sample: [node1, node2, node3]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_schedule


def main() -> None:
    gcp.run(
        {
            "name": {"type": "str", "required": True},
            "region": {"type": "str", "required": True},
            "start": {"type": "str"},
            "stop": {"type": "str"},
            "time_zone": {"type": "str", "default": "UTC"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        bring,
    )


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Bring the schedule to what the options say; the module's result."""
    params = module.params
    present = params["state"] == "present"
    if present and not (params["start"] or params["stop"]):
        raise gcp.GcpError("A schedule needs start, stop or both.")
    spec = gcp_schedule.spec(params["start"], params["stop"], params["time_zone"])
    steps = gcp_schedule.plan(client, params["name"], params["region"], spec, present=present)
    if not module.check_mode:
        gcp_schedule.apply(client, steps)
    return {"changed": bool(steps.plan.calls), "instances": sorted(steps.users), "diff": steps.plan.diff}


if __name__ == "__main__":
    main()
