# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""From what is to what is wanted, for any resource of Google Cloud: the table of kinds, and the plan.

A resource is written as its API writes it. What is not written is left as it is. A field that differs becomes
a PATCH, a method of its own, or a refusal that says why, as the kind's entry in :data:`KINDS` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, GcpError, Json


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
            f"{path.rsplit('/', 1)[1]} has {current['sizeGb']} GB and cannot shrink to {value}. "
            f"Set {current['sizeGb']} or more."
        )
    return [Call("POST", f"{path}/resize", {"sizeGb": str(value)})]


def _body(action: str, verb: str = "POST", *, stopped: bool = False) -> Setter:
    """A field that is itself the body of its method; what is not named in it stays."""

    def calls(path: str, value: Any, current: Json) -> list[Call]:
        return [Call(verb, f"{path}/{action}", value, needs_stop=stopped)]

    return calls


def _scheduling(path: str, value: Any, current: Json) -> list[Call]:
    # The method takes all of it. What the old model had and the new one does not want is left out.
    return [Call("POST", f"{path}/setScheduling", _without_nothing(value), needs_stop=True)]


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
    attached = [disk["source"] for disk in current["disks"]]
    missing = [
        disk for disk in value if "source" in disk and not any(same(disk["source"], one) for one in attached)
    ]
    return [Call("POST", f"{path}/attachDisk", disk) for disk in missing]


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
            "ipCidrRange": _post("expandIpCidrRange", "ipCidrRange"),
            "privateIpGoogleAccess": _post("setPrivateIpGoogleAccess", "privateIpGoogleAccess"),
        },
        proof=("fingerprint",),
    ),
    "firewall": Kind(
        "compute",
        "projects/{project}/global/firewalls",
        frozenset({"allowed", "description", "disabled", "priority", "sourceRanges", "targetTags"}),
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
        frozenset(
            {"iamConfiguration", "labels", "lifecycle", "softDeletePolicy", "storageClass", "versioning"}
        ),
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


def same(wanted: Any, current: Any) -> bool:
    """Whether a value is as wanted. What a mapping does not name does not count; nothing equals empty."""
    if isinstance(wanted, dict):
        return isinstance(current, dict | None) and not differences(wanted, current or {})
    if isinstance(wanted, list):
        return _same_list(wanted, current or [])
    if wanted in (None, False, "") or current in (None, False, ""):
        return bool(wanted) == bool(current)
    left, right = str(wanted), str(current)
    # A link is written in full, from the host on, or from the project on.
    return left == right or ("/" in left and _link(left) == _link(right))


def _without_nothing(value: Any) -> Any:
    """Leave out what is null: it stands for a field that shall not be there."""
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value


def _link(value: str) -> str:
    return value.partition("/compute/v1/")[2] or value


def _same_list(wanted: list[Any], current: list[Any]) -> bool:
    if len(wanted) != len(current):
        return False
    left = list(current)
    for item in wanted:
        match = next((other for other in left if same(item, other)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def differences(wanted: Json, current: Json) -> dict[str, tuple[Any, Any]]:
    """The fields of ``wanted`` that are not so, each with what is wanted and what is."""
    return {
        key: (value, current.get(key)) for key, value in wanted.items() if not same(value, current.get(key))
    }


def describe(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Say in words what differs."""
    return "; ".join(f"{key} is {is_!r}, not {wanted!r}" for key, (wanted, is_) in differing.items())


def _differences_of(kind: str, wanted: Json, current: Json) -> dict[str, tuple[Any, Any]]:
    found = differences(wanted, current)
    if "labels" in wanted:
        # All of them are ours but Google's own; one too many is a group too many.
        own = {k: v for k, v in current.get("labels", {}).items() if not k.startswith("goog-")}
        if own != wanted["labels"]:
            found["labels"] = (wanted["labels"], own)
    if kind == "instance":
        found = _instance_differences(wanted, current, found)
    return found


def _instance_differences(wanted: Json, current: Json, found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Judge the fields that Google adds to, or that only count when a VM is made."""
    for key, name in (("metadata", "key"), ("disks", "source")):
        found.pop(key, None)
        items, had = (wanted.get(key, []), current.get(key, []))
        if key == "metadata":
            items, had = wanted.get(key, {}).get("items", []), current.get(key, {}).get("items", [])
        missing = [
            item for item in items if name in item and not any(same(_said(item), other) for other in had)
        ]
        if missing:
            found[key] = (wanted[key], had)
    if "networkInterfaces" in found:
        one, other = wanted["networkInterfaces"][0], current["networkInterfaces"][0]
        if same([_but(one, "accessConfigs")], [other]) and bool(one.get("accessConfigs")) == bool(
            other.get("accessConfigs")
        ):
            del found["networkInterfaces"]
    return found


def _said(item: Json) -> Json:
    return {"source": item["source"]} if "source" in item else item


def _but(value: Json, key: str) -> Json:
    return {name: item for name, item in value.items() if name != key}


@dataclass(frozen=True)
class Plan:
    """What to do about one resource; ``before`` and ``after`` show the fields that change."""

    title: str
    api: str
    calls: list[Call] = field(default_factory=list)
    before: Json | None = None
    after: Json | None = None

    @property
    def diff(self) -> Json:
        """As Ansible shows it."""
        header = {"before_header": self.title, "after_header": self.title}
        return {"before": self.before or {}, "after": self.after or {}, **header}


def plan(
    client: Client, kind: str, name: str, location: str | None, wanted: Json, *, present: bool = True
) -> Plan:
    """Compare a resource with what is wanted.

    Raises:
        GcpError: It cannot be brought there in place; the message names the field and the way out.
    """
    about = KINDS[kind]
    title = f"{kind} {name}"
    list_path = about.list_path(client.project, location)
    path = f"{list_path}/{about.identity.format(name=name, project=client.project)}"
    current = client.get(about.api, path)
    if not present:
        return (
            Plan(title, about.api, [Call("DELETE", path)], before=_shown(current))
            if current
            else Plan(title, about.api)
        )
    if current is None:
        body = _without_nothing(wanted)
        return Plan(title, about.api, [_creation(about, client, list_path, name, body)], after=body)
    differing = _differences_of(kind, wanted, current)
    if not differing:
        return Plan(title, about.api)
    return Plan(
        title,
        about.api,
        _changes(about, path, title, wanted, current, differing),
        before={key: is_ for key, (_wanted, is_) in differing.items()},
        after={key: value for key, (value, _is) in differing.items()},
    )


def _shown(current: Json) -> Json:
    return {key: value for key, value in current.items() if key in {"name", "email", "selfLink", "labels"}}


def _creation(about: Kind, client: Client, list_path: str, name: str, wanted: Json) -> Call:
    if about.create:
        return about.create(list_path, name, wanted)
    params = {"project": client.project} if about.api == "storage" else {}
    return Call("POST", list_path, {"name": name, **wanted}, params)


def _changes(
    about: Kind, path: str, title: str, wanted: Json, current: Json, differing: Mapping[str, tuple[Any, Any]]
) -> list[Call]:
    refused = {
        key: value for key, value in differing.items() if key not in about.patch and key not in about.setters
    }
    if refused:
        raise GcpError(
            f"{title}: {describe(refused)}. Google does not change this in place. Set what it has, or give "
            "the new one another name, or delete the old one first."
        )
    patched = {key: wanted[key] for key in differing if key in about.patch}
    calls = []
    if patched and about.mask:
        calls.append(Call("PATCH", path, {about.mask: patched, "updateMask": ",".join(patched)}))
    elif patched:
        # Google wants to be told the name again, and of some kinds what state the change is meant for.
        proof = {key: current[key] for key in about.proof if key in current}
        calls.append(Call("PATCH", path, {**patched, **proof}))
    for key in differing:
        if key in about.setters:
            calls += about.setters[key](path, wanted[key], current)
    return calls


def apply(client: Client, steps: Plan) -> None:
    """Do what was planned."""
    for call in steps.calls:
        try:
            client.change(steps.api, call.verb, call.path, call.body, **call.params)
        except GcpError as error:
            # An answer that was lost on the way: it is there, or gone, already.
            if (call.verb == "DELETE" and error.status == 404) or (
                call.verb == "POST" and error.status == 409 and "already" in str(error)
            ):
                continue
            raise GcpError(f"{steps.title}: {error}", error.status, error.reason) from error
