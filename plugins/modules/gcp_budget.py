#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_budget
short_description: Manage a budget that alerts
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - A budget of a billing account for the spending of one project in a month. It sends mail at each
    threshold; it stops nothing.
  - Its name within the billing account is its identity.
  - With O(state=absent), a refusal to list the budgets is a warning only, since who may not see them has made
    none.
extends_documentation_fragment:
  - cdc.lakehouse.gcp
options:
  name:
    description:
      - Its display name.
    type: str
    required: true
  billing_account:
    description:
      - Id of the billing account, as C(XXXXXX-XXXXXX-XXXXXX).
    type: str
    required: true
  amount:
    description:
      - The amount for a month, in whole units of the billing account's currency. Required unless
        O(state=absent).
    type: int
  thresholds:
    description:
      - Parts of the amount that an alert is sent at, such as V(0.5).
    type: list
    elements: float
    default: [0.5, 0.9, 1.0]
  state:
    description:
      - Whether the budget exists.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Tell before it is spent
  cdc.lakehouse.gcp_budget:
    project: shop-lakehouse
    name: lakehouse
    billing_account: 0A0A0A-0A0A0A-0A0A0A
    amount: 100
"""

RETURN = r"""
budget:
  description: Resource name of the budget; empty when there is none, or in check mode none yet.
  returned: success
  type: str
  sample: billingAccounts/0A0A0A-0A0A0A-0A0A0A/budgets/1
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp, gcp_compare


def main() -> None:
    gcp.run(
        {
            "name": {"type": "str", "required": True},
            "billing_account": {"type": "str", "required": True},
            "amount": {"type": "int"},
            "thresholds": {"type": "list", "elements": "float", "default": [0.5, 0.9, 1.0]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        bring,
    )


def bring(module: AnsibleModule, client: gcp.Client) -> dict[str, Any]:
    """Bring the budget to what the options say; the module's result."""
    params = module.params
    present = params["state"] == "present"
    if present and not params["amount"]:
        raise gcp.GcpError("amount must be 1 or more: what a month may cost.")
    parent = f"billingAccounts/{params['billing_account']}/budgets"
    try:
        current = find(client, parent, params["name"])
    except gcp.GcpError as error:
        if present or error.status != 403 or error.reason == "off":
            raise
        module.warn(f"Whether there is a budget {params['name']} to delete is not known. {error}")
        return {"changed": False, "budget": "", "diff": {}}
    wanted = spec(params, current, client) if present else {}
    differing = gcp_compare.differences(wanted, current)
    changed = bool(differing) if present else bool(current)
    if changed and not module.check_mode:
        current = apply(client, parent, current, wanted, differing)
    shown = {key: is_ for key, (_wanted, is_) in differing.items()} if present else {"budget": params["name"]}
    after = {key: value for key, (value, _is) in differing.items()}
    return {
        "changed": changed,
        "budget": current.get("name", ""),
        "diff": {"before": shown, "after": after} if changed else {},
    }


def find(client: gcp.Client, parent: str, name: str) -> dict[str, Any]:
    """Find the budget by its name; nothing when there is none."""
    for page in client.pages("billingbudgets", parent):
        for budget in page.get("budgets", []):
            if budget.get("displayName") == name:
                return dict(budget)
    return {}


def spec(params: dict[str, Any], current: dict[str, Any], client: gcp.Client) -> dict[str, Any]:
    """Write the budget as the API does. Google keeps the project by its number."""
    project = client.get("cloudresourcemanager", f"projects/{client.project}") or {
        "name": f"projects/{client.project}"
    }
    return {
        "displayName": params["name"],
        "budgetFilter": {
            "projects": [project["name"]],
            "calendarPeriod": "MONTH",
            # What is used is to be known before the free credit is gone, not after.
            "creditTypesTreatment": "EXCLUDE_ALL_CREDITS",
        },
        "amount": {"specifiedAmount": {"units": str(params["amount"])}},
        "thresholdRules": [{"thresholdPercent": part} for part in params["thresholds"]],
    }


def apply(
    client: gcp.Client,
    parent: str,
    current: dict[str, Any],
    wanted: dict[str, Any],
    differing: dict[str, Any],
) -> dict[str, Any]:
    """Make, change or delete it; the budget after that."""
    if not wanted:
        client.change("billingbudgets", "DELETE", current["name"])
        return {}
    if not current:
        # Google gives two budgets of one name to who asks twice.
        made = partial(find, client, parent, wanted["displayName"])
        return dict(client.change("billingbudgets", "POST", parent, wanted, made=made))
    changes = {key: wanted[key] for key in differing}
    mask = ",".join(changes)
    return dict(client.change("billingbudgets", "PATCH", current["name"], changes, updateMask=mask))


if __name__ == "__main__":
    main()
