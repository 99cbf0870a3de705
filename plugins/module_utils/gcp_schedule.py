# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""A schedule that starts and stops VMs. Google does not change one in place, so it is made anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp_compare, gcp_kinds, gcp_resources
from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, Json

KIND = "resource_policy"


@dataclass(frozen=True)
class Steps:
    """The plan, and the paths of the VMs that are detached first, and attached again unless it goes."""

    plan: gcp_resources.Plan
    users: dict[str, str] = field(default_factory=dict)
    link: str = ""
    attach: bool = False


def spec(start: str | None, stop: str | None, time_zone: str) -> Json:
    """Write a schedule as Google's API does."""
    policy: Json = {"timeZone": time_zone}
    if start:
        policy["vmStartSchedule"] = {"schedule": start}
    if stop:
        policy["vmStopSchedule"] = {"schedule": stop}
    return {"instanceSchedulePolicy": policy}


def plan(client: Client, name: str, region: str, wanted: Json, *, present: bool) -> Steps:
    """Compare the schedule with what is wanted."""
    path = f"{gcp_kinds.KINDS[KIND].list_path(client.project, region)}/{name}"
    current = client.get("compute", path)
    if current is None:
        return Steps(gcp_resources.plan(client, KIND, name, region, wanted, present=present))
    users = _users(client, path)
    if not present:
        return Steps(gcp_resources.plan(client, KIND, name, region, wanted, present=False), users, path)
    before = {"instanceSchedulePolicy": current.get("instanceSchedulePolicy", {})}
    if before == wanted:
        return Steps(gcp_resources.Plan(f"{KIND} {name}", "compute"), users)
    anew = [
        gcp_kinds.Call("DELETE", path),
        gcp_kinds.Call("POST", path.rpartition("/")[0], {"name": name, **wanted}),
    ]
    return Steps(
        gcp_resources.Plan(f"{KIND} {name}", "compute", anew, before, wanted), users, path, attach=True
    )


def apply(client: Client, steps: Steps) -> None:
    """Do what was planned."""
    if not steps.plan.calls:
        return
    body = {"resourcePolicies": [steps.link]}
    for vm in steps.users.values():
        client.change("compute", "POST", f"{vm}/removeResourcePolicies", body)
    gcp_resources.apply(client, steps.plan)
    for vm in steps.users.values() if steps.attach else ():
        client.change("compute", "POST", f"{vm}/addResourcePolicies", body)


def _users(client: Client, path: str) -> dict[str, str]:
    """The paths of the VMs that a schedule is attached to, by name."""
    return {
        vm["name"]: vm["selfLink"].partition("/compute/v1/")[2]
        for page in client.pages("compute", f"projects/{client.project}/aggregated/instances")
        for scope in page.get("items", {}).values()
        for vm in scope.get("instances", [])
        if any(gcp_compare.same(path, policy) for policy in vm.get("resourcePolicies", []))
    }
