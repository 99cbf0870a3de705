#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_iam
short_description: Grant roles on a project, a bucket or a service account
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Adds and takes away members of roles, and leaves all other grants alone. Only grants without a condition
    count.
  - Another's change at the same moment is no error; it reads again and tries anew.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  grants:
    description:
      - The grants. One that names no O(grants[].bucket) and no O(grants[].service_account) is on the
        project.
    type: list
    elements: dict
    required: true
    suboptions:
      role:
        description:
          - The role, such as V(roles/logging.logWriter).
        type: str
        required: true
      members:
        description:
          - Who gets it, such as V(user:you@example.com). Others who have it keep it.
        type: list
        elements: str
        required: true
      bucket:
        description:
          - Name of the bucket that it is on.
        type: str
      service_account:
        description:
          - E-mail address of the service account that it is on.
        type: str
      state:
        description:
          - Whether it is granted.
        type: str
        choices: [present, absent]
        default: present
"""

EXAMPLES = r"""
- name: The nodes read and write one bucket, and nothing else
  cdc.lakehouse.gcp_iam:
    project: shop-lakehouse
    grants:
      - bucket: shop-lakehouse-delta
        role: roles/storage.objectUser
        members: [serviceAccount:lakehouse@shop-lakehouse.iam.gserviceaccount.com]
"""

RETURN = r"""
changes:
  description: The grants that changed, or in check mode would.
  returned: success
  type: list
  elements: str
  sample: ["bucket shop-delta: + roles/storage.objectUser user:you@example.com"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_iam


def main() -> None:
    item = {
        "role": {"type": "str", "required": True},
        "members": {"type": "list", "elements": "str", "required": True},
        "bucket": {"type": "str"},
        "service_account": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    exclusive = [("bucket", "service_account")]
    options = {"type": "list", "elements": "dict", "required": True, "options": item}
    gcp.run({"grants": {**options, "mutually_exclusive": exclusive}}, bring)


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Bring the grants to what the options say; the module's result."""
    changes = gcp_iam.bring(client, module.params["grants"])
    return {
        "changed": bool(changes),
        "changes": changes,
        "diff": {"before": "", "after": "".join(f"{change}\n" for change in changes)},
    }


if __name__ == "__main__":
    main()
