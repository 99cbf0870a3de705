#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_cost_info
short_description: Tell what of a lakehouse is on, and what it costs
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Reads the VMs and disks of a project that have a label, and works out from a price table what they cost
    in an hour now, and in a month if all stays as it is.
  - Where a billing export to BigQuery exists, tells what was really spent this month.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  app:
    description:
      - Value of the label C(app) of what counts.
    type: str
    required: true
  prices:
    description:
      - The price table, as C(playbooks/vars/gcp_prices.yml) has it.
    type: dict
    required: true
  requests_per_hour:
    description:
      - Requests to Cloud Storage while the pipeline runs, C(class_a) and C(class_b), for the estimate.
    type: dict
    default: {}
  billing_export:
    description:
      - Table of a billing export, as C(PROJECT.DATASET.TABLE). Not set, nothing real is told.
    type: str
"""

EXAMPLES = r"""
- name: What does it cost?
  cdc.lakehouse.gcp_cost_info:
    project: shop-lakehouse
    app: lakehouse
    prices: "{{ gcp_prices }}"
"""

RETURN = r"""
instances:
  description:
    - The VMs, each with its C(name), C(machine), C(status), C(spot), C(hours) since it was started, and the
      C(hourly) price while it runs.
  returned: success
  type: list
  elements: dict
hourly:
  description: What is paid for an hour as it is now, by kind.
  returned: success
  type: dict
  sample: {vms: 0.26, disks: 0.03, nat: 0.01, requests: 0.02}
monthly:
  description: The same for a month of 730 hours, if nothing is stopped.
  returned: success
  type: float
unpriced:
  description: Machine and disk types that the table has no price of. They count as nothing.
  returned: success
  type: list
  elements: str
spent:
  description:
    - What was spent this month by service, credits taken off, from the billing export. Null without one.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_cost


def main() -> None:
    gcp.run(
        {
            "app": {"type": "str", "required": True},
            "prices": {"type": "dict", "required": True},
            "requests_per_hour": {"type": "dict", "default": {}},
            "billing_export": {"type": "str"},
        },
        read,
    )


def read(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Read, and work out; the module's result."""
    params = module.params
    vms = list(gcp_cost.listed(client, "instances", params["app"]))
    disks = list(gcp_cost.listed(client, "disks", params["app"]))
    boot = list(gcp_cost.boot_disks(client, vms))
    bill = gcp_cost.estimate(vms, disks + boot, params["prices"], params["requests_per_hour"])
    export = params["billing_export"]
    return {"changed": False, **bill, "spent": gcp_cost.spent(client, export) if export else None}


if __name__ == "__main__":
    main()
