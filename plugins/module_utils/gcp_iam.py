# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""Grants of roles on a project, a bucket or a service account."""

from __future__ import annotations

import time
from itertools import groupby

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, GcpError, Json

ATTEMPTS = 6


def bring(client: Client, grants: list[Json]) -> list[str]:
    """Bring all grants to what they say; what changed, or in check mode would."""
    changes: list[str] = []
    for target, group in groupby(sorted(grants, key=_target), key=_target):
        changes += _bring_target(client, target, list(group))
    return changes


def _target(grant: Json) -> str:
    if grant.get("bucket"):
        return f"bucket {grant['bucket']}"
    return f"service account {grant['service_account']}" if grant.get("service_account") else "project"


def _bring_target(client: Client, target: str, grants: list[Json]) -> list[str]:
    for attempt in range(1, ATTEMPTS + 1):
        policy = _read(client, target)
        changes = [change for grant in grants for change in _apply(policy, grant)]
        if not changes or client.check_mode:
            break
        try:
            _write(client, target, policy)
            break
        except GcpError as error:
            # Someone else wrote it meanwhile; or not all of Google knows a new account yet.
            passes = error.status in {409, 412} or (error.status == 400 and "does not exist" in str(error))
            if not passes or attempt == ATTEMPTS:
                raise
            time.sleep(2**attempt)
    return [f"{target}: {change}" for change in changes]


def _apply(policy: Json, grant: Json) -> list[str]:
    """Change a policy; what changed."""
    bindings = policy.setdefault("bindings", [])
    binding = next(
        (one for one in bindings if one["role"] == grant["role"] and not one.get("condition")), None
    )
    if binding is None:
        binding = {"role": grant["role"], "members": []}
        bindings.append(binding)
    present = grant["state"] == "present"
    changing = [member for member in grant["members"] if (member in binding["members"]) != present]
    kept = [member for member in binding["members"] if member not in changing]
    binding["members"] = kept + changing if present else kept
    policy["bindings"] = [one for one in bindings if one.get("members")]
    return [f"{'+' if present else '-'} {grant['role']} {member}" for member in changing]


def _read(client: Client, target: str) -> Json:
    kind, _, name = target.rpartition(" ")
    if kind == "bucket":
        return client.get("storage", f"b/{name}/iam", optionsRequestedPolicyVersion=3) or {}
    if kind == "service account":
        path = f"projects/{client.project}/serviceAccounts/{name}:getIamPolicy"
        return client.read("iam", path, **{"options.requestedPolicyVersion": 3}) or {}
    options = {"options": {"requestedPolicyVersion": 3}}
    return client.read("cloudresourcemanager", f"projects/{client.project}:getIamPolicy", options) or {}


def _write(client: Client, target: str, policy: Json) -> None:
    policy["version"] = 3
    kind, _, name = target.rpartition(" ")
    if kind == "bucket":
        client.change("storage", "PUT", f"b/{name}/iam", policy)
    elif kind == "service account":
        path = f"projects/{client.project}/serviceAccounts/{name}:setIamPolicy"
        client.change("iam", "POST", path, {"policy": policy})
    else:
        path = f"projects/{client.project}:setIamPolicy"
        client.change("cloudresourcemanager", "POST", path, {"policy": policy})
