# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""The kinds of resources of Google Cloud, and what each field of theirs needs to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import GcpError, Json
from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp_compare import (
    attached,
    describe,
    differences,
    disk_differences,
)


@dataclass(frozen=True)
class Call:
    """One request that changes something."""

    verb: str
    path: str
    body: Json | None = None
    params: Json = field(default_factory=dict)
    needs_stop: bool = False


# Makes the calls that bring one field to what is wanted: (path, wanted value, the resource as it is).
Setter = Callable[[str, Any, Json], list[Call]]


@dataclass(frozen=True)
class Kind:
    """What is to know about a kind of resource.

    Args:
        api: The API that has it.
        collection: Path of its list; ``{project}`` and ``{location}`` are filled in.
        patch: Fields that a PATCH changes.
        setters: Fields that have a method of their own.
        create: Makes the request that creates it, where that is not a POST of the resource to the list.
        mask: Whether a PATCH wants the resource under this name beside an ``updateMask``.
        proof: What a PATCH repeats of the resource as it is.
        identity: What the last part of its path is.
    """

    api: str
    collection: str
    patch: frozenset[str] = frozenset()
    setters: Mapping[str, Setter] = field(default_factory=dict)
    create: Callable[[str, str, Json], Call] | None = None
    mask: str = ""
    proof: tuple[str, ...] = ()
    identity: str = "{name}"

    def list_path(self, project: str, location: str | None) -> str:
        """The path of the list that the resource is in."""
        if "{location}" in self.collection and not location:
            raise GcpError(f"A resource in {self.collection} needs its location (region or zone).")
        return self.collection.format(project=project, location=location)


def _post(action: str, key: str, *, stopped: bool = False, fingerprint: str = "") -> Setter:
    """A field whose method takes it under its name in a body, with a fingerprint where Google wants one."""

    def calls(path: str, value: Any, current: Json) -> list[Call]:
        proof = {fingerprint: current[fingerprint]} if fingerprint in current else {}
        return [Call("POST", f"{path}/{action}", {key: value, **proof}, needs_stop=stopped)]

    return calls


def _grow(path: str, value: Any, current: Json) -> list[Call]:
    if int(value) < int(current["sizeGb"]):
        raise GcpError(
            f"Disk {path.rsplit('/', 1)[1]} has {current['sizeGb']} GB and cannot shrink to {value}. "
            f"Set {current['sizeGb']} or more: gcp_boot_disk_gb of the disk that a VM starts from, "
            "gcp_data_disk_gb of its data disk."
        )
    return [Call("POST", f"{path}/resize", {"sizeGb": str(value)})]


def _expand(path: str, value: Any, current: Json) -> list[Call]:
    had = current["ipCidrRange"]
    try:
        grows = IPv4Network(had).subnet_of(IPv4Network(value))
    except ValueError:
        grows = False
    if not grows:
        raise GcpError(
            f"Subnetwork {path.rsplit('/', 1)[1]} has {had}, which {value} does not contain, and a range can "
            f"only grow. Set gcp_subnet_range to {had} or a range around it, or run playbooks/destroy.yml "
            "first."
        )
    return [Call("POST", f"{path}/expandIpCidrRange", {"ipCidrRange": value})]


def _body(action: str, verb: str = "POST", *, stopped: bool = False) -> Setter:
    """A field that is itself the body of its method; what is not named in it stays."""

    def calls(path: str, value: Any, current: Json) -> list[Call]:
        return [Call(verb, f"{path}/{action}", value, needs_stop=stopped)]

    return calls


def _scheduling(path: str, value: Any, current: Json) -> list[Call]:
    # The method takes all of it. What is left out may stay as it was: what is not wanted any more is null.
    return [Call("POST", f"{path}/setScheduling", value, needs_stop=True)]


def _metadata(path: str, value: Any, current: Json) -> list[Call]:
    had = {item["key"]: item["value"] for item in current.get("metadata", {}).get("items", [])}
    items = {**had, **{item["key"]: item["value"] for item in value["items"]}}
    body = {
        "items": [{"key": key, "value": text} for key, text in items.items()],
        "fingerprint": current["metadata"]["fingerprint"],
    }
    return [Call("POST", f"{path}/setMetadata", body)]


def _tags(path: str, value: Any, current: Json) -> list[Call]:
    return [Call("POST", f"{path}/setTags", {**value, "fingerprint": current["tags"]["fingerprint"]})]


def _service_account(path: str, value: Any, current: Json) -> list[Call]:
    return [Call("POST", f"{path}/setServiceAccount", value[0], needs_stop=True)]


def _protection(path: str, value: Any, current: Json) -> list[Call]:
    return [Call("POST", f"{path}/setDeletionProtection", None, {"deletionProtection": str(value).lower()})]


def _disks(path: str, value: Any, current: Json) -> list[Call]:
    calls = []
    for disk in value:
        had = attached(disk, current["disks"])
        if not had:
            calls.append(Call("POST", f"{path}/attachDisk", disk))
            continue
        differing = disk_differences(disk, had)
        which = {"deviceName": had["deviceName"], "autoDelete": str(bool(disk.get("autoDelete"))).lower()}
        if differing.pop("autoDelete", None):
            calls.append(Call("POST", f"{path}/setDiskAutoDelete", None, which))
        if differing:
            zone, _instances, vm = path.split("/")[-3:]
            name = had["source"].rsplit("/", 1)[1]
            raise GcpError(
                f"Disk {name} of {vm}: {describe(differing)}. Google does not change this of a disk that is "
                "attached, and the node finds it by its deviceName. Run playbooks/stop_vms.yml, then `gcloud "
                f"compute instances detach-disk {vm} --disk {name} --zone {zone}`, then "
                "playbooks/provision.yml, which attaches it."
            )
    return calls


def _interfaces(path: str, value: Any, current: Json) -> list[Call]:
    had = current["networkInterfaces"][0]
    differing = differences({k: v for k, v in value[0].items() if k != "accessConfigs"}, had)
    if differing:
        raise GcpError(
            f"The network interface of {path.rsplit('/', 1)[1]} cannot change: {describe(differing)}. "
            "Delete the VM (gcp_instance with state: absent; its data disk stays) and run again, or set what "
            "it has."
        )
    name = had.get("name", "nic0")
    external = had.get("accessConfigs", [])
    if external and not value[0].get("accessConfigs"):
        which = {"accessConfig": external[0]["name"], "networkInterface": name}
        return [Call("POST", f"{path}/deleteAccessConfig", None, which)]
    return [Call("POST", f"{path}/addAccessConfig", value[0]["accessConfigs"][0], {"networkInterface": name})]


def _policies(path: str, value: Any, current: Json) -> list[Call]:
    calls = []
    if current.get("resourcePolicies"):
        calls.append(
            Call("POST", f"{path}/removeResourcePolicies", {"resourcePolicies": current["resourcePolicies"]})
        )
    if value:
        calls.append(Call("POST", f"{path}/addResourcePolicies", {"resourcePolicies": value}))
    return calls


def _merged_labels(path: str, value: Any, current: Json) -> list[Call]:
    # Cloud Storage merges what a PATCH says into what there is: what shall go is null.
    gone = [key for key in current.get("labels", {}) if key not in value and not key.startswith("goog-")]
    return [Call("PATCH", path, {"labels": {**dict.fromkeys(gone), **value}})]


def _account(path: str, name: str, body: Json) -> Call:
    return Call("POST", path, {"accountId": name.partition("@")[0], "serviceAccount": body})


_LABELS = _post("setLabels", "labels", fingerprint="labelFingerprint")
KINDS: Mapping[str, Kind] = {
    "network": Kind("compute", "projects/{project}/global/networks", frozenset({"routingConfig"})),
    "subnetwork": Kind(
        "compute",
        "projects/{project}/regions/{location}/subnetworks",
        frozenset({"secondaryIpRanges", "logConfig"}),
        {
            "ipCidrRange": _expand,
            "privateIpGoogleAccess": _post("setPrivateIpGoogleAccess", "privateIpGoogleAccess"),
        },
        proof=("fingerprint",),
    ),
    "firewall": Kind(
        "compute",
        "projects/{project}/global/firewalls",
        frozenset(
            {"allowed", "description", "disabled", "priority", "sourceRanges", "sourceTags", "targetTags"}
        ),
        proof=("name",),
    ),
    "address": Kind(
        "compute", "projects/{project}/regions/{location}/addresses", setters={"labels": _LABELS}
    ),
    "router": Kind(
        "compute", "projects/{project}/regions/{location}/routers", frozenset({"nats", "description"})
    ),
    "disk": Kind(
        "compute", "projects/{project}/zones/{location}/disks", setters={"sizeGb": _grow, "labels": _LABELS}
    ),
    "resource_policy": Kind("compute", "projects/{project}/regions/{location}/resourcePolicies"),
    "instance": Kind(
        "compute",
        "projects/{project}/zones/{location}/instances",
        setters={
            "labels": _LABELS,
            "metadata": _metadata,
            "tags": _tags,
            "disks": _disks,
            "networkInterfaces": _interfaces,
            "resourcePolicies": _policies,
            "deletionProtection": _protection,
            "scheduling": _scheduling,
            "machineType": _post("setMachineType", "machineType", stopped=True),
            "serviceAccounts": _service_account,
            "shieldedInstanceConfig": _body("updateShieldedInstanceConfig", "PATCH", stopped=True),
        },
    ),
    "bucket": Kind(
        "storage",
        "b",
        frozenset({"iamConfiguration", "lifecycle", "softDeletePolicy", "storageClass", "versioning"}),
        {"labels": _merged_labels},
    ),
    "service_account": Kind(
        "iam",
        "projects/{project}/serviceAccounts",
        frozenset({"displayName", "description"}),
        create=_account,
        mask="serviceAccount",
        identity="{name}@{project}.iam.gserviceaccount.com",
    ),
}  # fmt: skip


def without_nothing(value: Any) -> Any:
    """Leave out what is null: it stands for a field that shall not be there."""
    if isinstance(value, dict):
        return {key: without_nothing(item) for key, item in value.items() if item is not None}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value
