#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_services
short_description: Enable APIs of a Google Cloud project
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Enables what is listed and not enabled yet. It disables nothing.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  services:
    description:
      - Hosts of the APIs, such as V(compute.googleapis.com). At most 20.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Enable what a lakehouse needs
  cdc.lakehouse.gcp_services:
    project: shop-lakehouse
    services: [compute.googleapis.com, storage.googleapis.com]
"""

RETURN = r"""
enabled:
  description: The APIs that were off before the task.
  returned: success
  type: list
  elements: str
  sample: [compute.googleapis.com]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp


def main() -> None:
    gcp.run({"services": {"type": "list", "elements": "str", "required": True}}, enable)


def enable(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Enable what is off; the module's result."""
    services = module.params["services"]
    parent = f"projects/{client.project}"
    names = [f"{parent}/services/{service}" for service in services]
    found = client.get("serviceusage", f"{parent}/services:batchGet", names=names) or {}
    on = {one["name"].rsplit("/", 1)[1] for one in found.get("services", []) if one.get("state") == "ENABLED"}
    off = [service for service in services if service not in on]
    if off and not module.check_mode:
        client.change("serviceusage", "POST", f"{parent}/services:batchEnable", {"serviceIds": off})
    return {
        "changed": bool(off),
        "enabled": off,
        "diff": {"before": "", "after": "".join(f"{service}\n" for service in off)},
    }


if __name__ == "__main__":
    main()
