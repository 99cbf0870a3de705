#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_project
short_description: Make a Google Cloud project and link its billing account
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Makes the project when there is none, and links the billing account. It deletes nothing.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  parent:
    description:
      - What a new project belongs to, as C(folders/NUMBER) or C(organizations/NUMBER). Not set, nothing, as
        for an account without an organization.
    type: str
  create:
    description:
      - Whether to make the project when there is none.
    type: bool
    default: false
  billing_account:
    description:
      - Id of the billing account to link, as C(XXXXXX-XXXXXX-XXXXXX). Not set, the link is left alone.
    type: str
"""

EXAMPLES = r"""
- name: A project that is paid for
  cdc.lakehouse.gcp_project:
    project: shop-lakehouse
    create: true
    billing_account: 0A0A0A-0A0A0A-0A0A0A
"""

RETURN = r"""
number:
  description: The project's number; empty in check mode when there is no project yet.
  returned: success
  type: str
  sample: "415104041262"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp


def main() -> None:
    gcp.run(
        {
            "parent": {"type": "str"},
            "create": {"type": "bool", "default": False},
            "billing_account": {"type": "str"},
        },
        bring,
    )


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Make the project and link its billing account; the module's result."""
    params = module.params
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    path = f"projects/{client.project}"
    found = read(client, path, create=params["create"])
    if found is None:
        after["project"] = client.project
        found = create(client, path, params["parent"])
    if params["billing_account"]:
        account = f"billingAccounts/{params['billing_account']}"
        linked = (client.get("cloudbilling", f"{path}/billingInfo") or {}).get("billingAccountName", "")
        if linked != account:
            before["billing account"], after["billing account"] = linked, account
            if not module.check_mode:
                client.change("cloudbilling", "PUT", f"{path}/billingInfo", {"billingAccountName": account})
    number = found.get("name", "").partition("/")[2]
    return {"changed": bool(after), "number": number, "diff": {"before": before, "after": after}}


def read(client: gcp.Client, path: str, *, create: bool) -> dict[str, Any] | None:
    """Read the project; None when it is to be made. Google does not tell a foreign project from none."""
    try:
        found = client.get("cloudresourcemanager", path, to_come=["off"])
    except gcp.GcpError as error:
        if create and error.reason == "unknown-project":
            return None
        raise
    if found is None and client.check_mode and not create:
        return {}  # The API is off, and nothing is known.
    if found is None and not create:
        raise gcp.GcpError(
            f"There is no project {client.project}. Check gcp_project, or set gcp_create_project."
        )
    return None if found is None else dict(found)


def create(client: gcp.Client, path: str, parent: str | None) -> dict[str, Any]:
    """Make the project; it, or nothing in check mode."""
    body = {
        "projectId": client.project,
        "displayName": client.project,
        **({"parent": parent} if parent else {}),
    }

    def made() -> dict[str, Any]:
        return read(client, path, create=True) or {}

    if client.check_mode:
        return {}
    return dict(client.change("cloudresourcemanager", "POST", "projects", body, made=made))


if __name__ == "__main__":
    main()
