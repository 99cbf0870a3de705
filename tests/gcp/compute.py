"""Compute Engine of the stand-in: operations, fingerprints, what needs a stopped VM, what is in use."""

from __future__ import annotations

import re
from typing import Any

from tests.gcp.contract import Method
from tests.gcp.refusal import Json, Refusal

Answer = tuple[int, Json | None]

LINK = "https://www.googleapis.com"
LINKS = {"network", "subnetwork", "machineType", "type", "source", "resourcePolicies"}
# What Compute Engine does not change in place, by collection: everything but these.
PATCHABLE = {
    "networks": {"routingConfig", "mtu"},
    "subnetworks": {"secondaryIpRanges", "logConfig", "description"},
    "firewalls": {
        "allowed", "denied", "description", "disabled", "logConfig", "priority", "sourceRanges", "sourceTags",
        "targetTags", "targetServiceAccounts", "destinationRanges",
    },
    "routers": {"nats", "bgp", "description"},
}  # fmt: skip
NEEDS_STOPPED = {"setScheduling", "setMachineType", "setServiceAccount", "updateShieldedInstanceConfig"}


class Compute:
    """The part of the cloud that answers Compute Engine's requests."""

    polls: int
    page_size: int
    resources: dict[str, Json]
    operations: dict[str, Json]
    requests: dict[str, Json]
    _number: int

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    def _page(self, items: list[Json], query: dict[str, list[str]], key: str) -> Json:
        wanted = [item for item in items if _matches(item, next(iter(query.get("filter", [])), ""))]
        start = int(next(iter(query.get("pageToken", [])), "0"))
        page: Json = {key: wanted[start : start + self.page_size]}
        if start + self.page_size < len(wanted):
            page["nextPageToken"] = str(start + self.page_size)
        return page

    def _compute(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.collection.endswith("Operations"):
            return 200, self._poll(path.split("/")[-2 if method.name == "wait" else -1])
        if method.verb == "GET":
            return 200, self._read(method, path, query)
        request_id = next(iter(query.get("requestId", [])), None)
        if request_id in self.requests:
            return 200, self.requests[request_id]
        target = self._change(method, path, query, body)
        operation = self._operation(method, target)
        if request_id:
            self.requests[request_id] = operation
        return 200, operation

    def _operation(self, method: Method, target: str) -> Json:
        number = self._next()
        name = f"operation-{number}"
        scope = re.search(r"/(zones|regions)/([^/]+)/", target)
        link = LINK + target
        operation = {
            "kind": "compute#operation", "id": number, "name": name, "status": "RUNNING", "progress": 0,
            "operationType": method.name, "targetLink": link, "targetId": number,
        }  # fmt: skip
        place = link.split("/global/")[0]
        if scope:
            place = link.split(f"/{scope[1]}/")[0] + f"/{scope[1]}/{scope[2]}"
            operation[scope[1].removesuffix("s")] = place
        operation["selfLink"] = f"{place}{'' if scope else '/global'}/operations/{name}"
        self.operations[name] = {**operation, "polls": self.polls}
        return operation

    def _poll(self, name: str) -> Json:
        if name not in self.operations:
            raise Refusal(404, "notFound", f"The resource 'operations/{name}' was not found")
        operation = self.operations[name]
        operation["polls"] -= 1
        if operation["polls"] < 0:
            operation.update(status="DONE", progress=100)
            target = self.resources.get(operation["targetLink"].removeprefix(LINK))
            settled = {"PROVISIONING": "RUNNING", "STOPPING": "TERMINATED", "STAGING": "RUNNING"}
            if target and target.get("status") in settled:
                target["status"] = settled[target["status"]]
        public = {key: value for key, value in operation.items() if key != "polls"}
        return public if operation["status"] == "DONE" else {k: v for k, v in public.items() if k != "error"}

    def _get(self, path: str) -> Json:
        if path not in self.resources:
            name = path.removeprefix("/compute/v1/")
            raise Refusal(404, "notFound", f"The resource '{name}' was not found")
        return self.resources[path]

    def _read(self, method: Method, path: str, query: dict[str, list[str]]) -> Json:
        if method.name == "aggregatedList":
            return self._aggregate(method, path, query)
        if method.name == "list":
            items = [item for key, item in sorted(self.resources.items()) if key.rsplit("/", 1)[0] == path]
            return self._page(items, query, "items")
        return self._get(path)

    def _aggregate(self, method: Method, path: str, query: dict[str, list[str]]) -> Json:
        project = path.split("/aggregated/")[0]
        found = [
            (key, item)
            for key, item in sorted(self.resources.items())
            if key.startswith(project + "/") and key.rsplit("/", 2)[-2] == method.collection
        ]
        page = self._page([item for _key, item in found], query, "items")
        scopes: Json = {}
        for item in page.pop("items"):
            scope = "/".join(item["selfLink"].removeprefix(LINK + project + "/").split("/")[:-2])
            scopes.setdefault(scope, {}).setdefault(method.collection, []).append(item)
        return {**page, "kind": f"compute#{method.collection}AggregatedList", "items": scopes}

    def _change(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> str:
        if method.name == "insert":
            return self._insert(method, path, body)
        if method.name == "delete":
            self._delete(method, path)
            return path
        if method.name == "patch":
            self._patch(method, path, body)
            return path
        path, action = path.rsplit("/", 1)
        resource = self._get(path)
        if (
            method.collection == "instances"
            and action in NEEDS_STOPPED
            and resource["status"] != "TERMINATED"
        ):
            raise Refusal(400, "invalid", f"Instance must be stopped (TERMINATED) for {action}.")
        getattr(self, f"_do_{_snake(action)}")(resource, body, query)
        self._touch(resource)
        return path

    def _insert(self, method: Method, path: str, body: Json) -> str:
        target = f"{path}/{body['name']}"
        if target in self.resources:
            raise Refusal(
                409, "alreadyExists", f"The resource '{target.removeprefix('/compute/v1/')}' already exists"
            )
        self._references(body)
        number = self._next()
        resource = _answered(body)
        resource.update(
            kind=f"compute#{method.collection.removesuffix('s')}", id=number,
            selfLink=f"{LINK}{target}", creationTimestamp="2026-11-02T08:00:00.000-07:00",
            fingerprint=number, labelFingerprint=number,
        )  # fmt: skip
        scope = re.search(r"/(zones|regions)/([^/]+)/", target)
        if scope:
            base = f"{LINK}{target.split('/' + scope[1] + '/')[0]}"
            resource[scope[1].removesuffix("s")] = f"{base}/{scope[1]}/{scope[2]}"
        self._complete(method, target, resource)
        self.resources[target] = resource
        return target

    def _complete(self, method: Method, target: str, resource: Json) -> None:
        """Add what Google adds to a new resource."""
        if method.collection == "firewalls":
            resource.setdefault("direction", "INGRESS")
            resource.setdefault("priority", 1000)
            resource.setdefault("disabled", False)
        elif method.collection == "subnetworks":
            resource.setdefault("privateIpGoogleAccess", False)
            resource["gatewayAddress"] = "10.0.0.1"
        elif method.collection == "disks":
            resource["sizeGb"] = str(resource.get("sizeGb", 500))
            resource["status"] = "READY"
        elif method.collection == "instances":
            self._complete_instance(target, resource)

    def _complete_instance(self, target: str, resource: Json) -> None:
        zone = target.rsplit("/instances/", 1)[0]
        resource.update(status="PROVISIONING", lastStartTimestamp="2026-11-02T08:00:10.000-07:00")
        resource.setdefault("metadata", {}).update(kind="compute#metadata", fingerprint=self._next())
        resource.setdefault("tags", {})["fingerprint"] = self._next()
        resource.setdefault("scheduling", {})
        resource["scheduling"] = {
            "onHostMaintenance": "MIGRATE", "automaticRestart": True, "preemptible": False,
            "provisioningModel": "STANDARD", **resource["scheduling"],
        }  # fmt: skip
        for interface in resource["networkInterfaces"]:
            interface.setdefault("name", "nic0")
            for access in interface.get("accessConfigs", []):
                access.setdefault("natIP", f"34.1.2.{int(self._next()) % 250}")
        for index, disk in enumerate(resource["disks"]):
            fresh = disk.pop("initializeParams", None)
            if fresh is not None:
                name = fresh.get("diskName", resource["name"])
                self.resources[f"{zone}/disks/{name}"] = {
                    "name": name, "sizeGb": str(fresh.get("diskSizeGb", 10)),
                    "type": fresh.get("diskType", ""),
                    "zone": resource["zone"], "selfLink": f"{LINK}{zone}/disks/{name}",
                    "status": "READY", "sourceImage": fresh["sourceImage"], "labels": fresh.get("labels", {}),
                }  # fmt: skip
                disk["source"] = f"{LINK}{zone}/disks/{name}"
            disk.setdefault("deviceName", f"persistent-disk-{index}")
            disk.update(kind="compute#attachedDisk", index=index)

    def _references(self, value: Any) -> None:
        """Refuse what names a network, subnetwork or disk that is not there."""
        for key, item in value.items() if isinstance(value, dict) else ():
            for one in item if isinstance(item, list) else [item]:
                if isinstance(one, dict):
                    self._references(one)
                elif key in {"network", "subnetwork", "source"} or (key == "resourcePolicies"):
                    path = (
                        "/compute/v1/" + str(one).partition("/compute/v1/")[2]
                        if "/compute/v1/" in str(one)
                        else f"/compute/v1/{one}"
                    )
                    self._get(path)

    def _delete(self, method: Method, path: str) -> None:
        resource = self._get(path)
        for other, item in self.resources.items():
            if other != path and method.collection != "instances" and _names(item, path):
                raise Refusal(
                    400, "resourceInUseByAnotherResource",
                    f"The {method.collection} resource '{path}' is already being used by '{other}'",
                )  # fmt: skip
        if method.collection == "instances":
            for disk in resource["disks"]:
                if disk.get("autoDelete"):
                    self.resources.pop(disk["source"].removeprefix(LINK), None)
        del self.resources[path]

    def _patch(self, method: Method, path: str, body: Json) -> None:
        resource = self._get(path)
        if "fingerprint" in body and body["fingerprint"] != resource["fingerprint"]:
            raise Refusal(
                412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint."
            )
        for key, value in body.items():
            if key in {"fingerprint", "name"}:
                continue
            if key not in PATCHABLE[method.collection] and resource.get(key) != value:
                raise Refusal(
                    400, "invalid", f"Invalid value for field 'resource.{key}': it cannot be changed."
                )
            resource[key] = _answered(value, key)
        self._touch(resource)

    def _touch(self, resource: Json) -> None:
        for key in ("fingerprint", "labelFingerprint"):
            if key in resource:
                resource[key] = self._next()

    def _do_set_labels(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        if body.get("labelFingerprint") != resource["labelFingerprint"]:
            raise Refusal(
                412, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed"
            )
        resource["labels"] = body.get("labels", {})

    def _do_set_metadata(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        if body.get("fingerprint") != resource["metadata"]["fingerprint"]:
            raise Refusal(
                412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint."
            )
        resource["metadata"] = {**body, "fingerprint": self._next()}

    def _do_set_tags(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        if body.get("fingerprint") != resource["tags"]["fingerprint"]:
            raise Refusal(
                412, "conditionNotMet", "Supplied fingerprint does not match current tags fingerprint."
            )
        resource["tags"] = {**body, "fingerprint": self._next()}

    def _do_set_scheduling(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["scheduling"] = _answered(body)

    def _do_set_machine_type(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["machineType"] = _answered(body)["machineType"]

    def _do_set_service_account(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["serviceAccounts"] = [body]

    def _do_update_shielded_instance_config(
        self, resource: Json, body: Json, query: dict[str, list[str]]
    ) -> None:
        resource["shieldedInstanceConfig"] = {**resource.get("shieldedInstanceConfig", {}), **body}

    def _do_set_deletion_protection(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["deletionProtection"] = query["deletionProtection"] == ["true"]

    def _do_attach_disk(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        self._references(body)
        name = f"persistent-disk-{len(resource['disks'])}"
        resource["disks"].append({"deviceName": name, **_answered(body)})

    def _do_set_disk_auto_delete(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        (disk,) = (one for one in resource["disks"] if query["deviceName"] == [one["deviceName"]])
        disk["autoDelete"] = query["autoDelete"] == ["true"]

    def _do_add_access_config(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        (interface,) = resource["networkInterfaces"]
        interface["accessConfigs"] = [{**body, "natIP": f"34.1.2.{int(self._next()) % 250}"}]

    def _do_delete_access_config(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        (interface,) = resource["networkInterfaces"]
        names = [access["name"] for access in interface.get("accessConfigs", [])]
        if query["accessConfig"] != names:
            raise Refusal(404, "notFound", f"no access config {query['accessConfig']}")
        interface["accessConfigs"] = []

    def _do_add_resource_policies(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        self._references(body)
        if resource.get("resourcePolicies"):
            raise Refusal(400, "invalid", "At most one instance schedule can be attached to a VM.")
        resource["resourcePolicies"] = _answered(body)["resourcePolicies"]

    def _do_remove_resource_policies(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        gone = {policy.rsplit("/", 1)[1] for policy in body["resourcePolicies"]}
        kept = [p for p in resource.get("resourcePolicies", []) if p.rsplit("/", 1)[1] not in gone]
        resource["resourcePolicies"] = kept

    def _do_start(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["status"] = "STAGING"

    def _do_stop(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        resource["status"] = "STOPPING"

    def _do_resize(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        if int(body["sizeGb"]) <= int(resource["sizeGb"]):
            raise Refusal(400, "invalid", "Invalid value for field 'sizeGb': disks can only grow.")
        resource["sizeGb"] = str(body["sizeGb"])

    def _do_expand_ip_cidr_range(self, resource: Json, body: Json, query: dict[str, list[str]]) -> None:
        if int(body["ipCidrRange"].split("/")[1]) >= int(resource["ipCidrRange"].split("/")[1]):
            raise Refusal(400, "invalid", "The new range must contain the old one.")
        resource["ipCidrRange"] = body["ipCidrRange"]

    def _do_set_private_ip_google_access(
        self, resource: Json, body: Json, query: dict[str, list[str]]
    ) -> None:
        resource["privateIpGoogleAccess"] = body["privateIpGoogleAccess"]


def _answered(value: Any, key: str = "") -> Any:
    """What Google answers for what was sent: links in full, nothing for null."""
    if isinstance(value, dict):
        return {name: _answered(item, name) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_answered(item, key) for item in value]
    if key in LINKS and isinstance(value, str) and value.startswith("projects/"):
        return f"{LINK}/compute/v1/{value}"
    return value


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), name)


def _names(value: Any, path: str) -> bool:
    """Whether a resource names another in one of its fields."""
    if isinstance(value, dict):
        return any(_names(item, path) for key, item in value.items() if key != "selfLink")
    if isinstance(value, list):
        return any(_names(item, path) for item in value)
    return isinstance(value, str) and ("/" + value).endswith(path.removeprefix("/compute/v1"))


def _matches(item: Json, filter_: str) -> bool:
    """Judge ``a = b`` joined by AND, the part of the filter language that the inventory uses."""
    for term in re.split(r"\)\s*\(|\)?\s+AND\s+\(?", filter_.strip("()")) if filter_ else []:
        key, value = re.fullmatch(r"([\w.-]+)\s*(?:=|:)\s*\"?([^\"]*)\"?", term.strip("() ")).groups()  # type: ignore[union-attr]
        found: Any = item
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None or (value != "*" and str(found) != value):
            return False
    return True
