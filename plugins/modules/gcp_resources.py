#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_resources
short_description: Manage resources of a Google Cloud project
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Makes, mends and deletes networks, subnetworks, firewall rules, addresses, routers, disks, buckets and
    service accounts, one after another in the order of the list.
  - A resource is written as Google's API writes it. What is written is brought to that value, what is not
    is left alone. A field that Google does not change in place is an error that says so; nothing of the
    list is changed then.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  resources:
    description:
      - The resources.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description:
          - What it is.
        type: str
        required: true
        choices: [address, bucket, disk, firewall, network, router, service_account, subnetwork]
      name:
        description:
          - Its name within its kind; of a service account what comes before the C(@).
        type: str
        required: true
      location:
        description:
          - Region of an address, router or subnetwork, zone of a disk.
        type: str
      state:
        description:
          - Whether it exists.
        type: str
        choices: [present, absent]
        default: present
      spec:
        description:
          - Its fields, as Google's API names them, without C(name).
        type: dict
        default: {}
"""

EXAMPLES = r"""
- name: A network with one subnetwork
  cdc.lakehouse.gcp_resources:
    project: shop-lakehouse
    resources:
      - kind: network
        name: lakehouse
        spec: {autoCreateSubnetworks: false}
      - kind: subnetwork
        name: lakehouse
        location: europe-west3
        spec:
          network: projects/shop-lakehouse/global/networks/lakehouse
          ipCidrRange: 10.0.0.0/24
          privateIpGoogleAccess: true
"""

RETURN = r"""
changes:
  description: Kind and name of each resource that changed, or in check mode would.
  returned: success
  type: list
  elements: str
  sample: [network lakehouse]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_resources

KINDS = ["address", "bucket", "disk", "firewall", "network", "router", "service_account", "subnetwork"]


def main() -> None:
    item = {
        "kind": {"type": "str", "required": True, "choices": KINDS},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "spec": {"type": "dict", "default": {}},
    }
    resources = {"type": "list", "elements": "dict", "required": True, "options": item}
    gcp.run({"resources": resources}, bring)


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Plan all, then do all; the module's result."""
    plans = [
        gcp_resources.plan(
            client, one["kind"], one["name"], one["location"], one["spec"], present=one["state"] == "present"
        )
        for one in module.params["resources"]
    ]
    changing = [steps for steps in plans if steps.calls]
    if not module.check_mode:
        for steps in changing:
            gcp_resources.apply(client, steps)
    return {
        "changed": bool(changing),
        "changes": [steps.title for steps in changing],
        "diff": [steps.diff for steps in changing],
    }


if __name__ == "__main__":
    main()
