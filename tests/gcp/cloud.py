"""A stand-in for Google's control plane: it holds projects and what is in them.

Every request is judged by the discovery document before anything happens. What an API does beyond storing a
resource (operations that take time, fingerprints, what needs a stopped VM, what is in use) is written here.
"""

from __future__ import annotations

import base64
import copy
import fnmatch
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.gcp import contract
from tests.gcp.contract import Method

Json = dict[str, Any]
Answer = tuple[int, Json | None]

LINK = "https://www.googleapis.com"
LINKS = {"network", "subnetwork", "machineType", "type", "source", "resourcePolicies"}
# Methods that read although their verb is POST.
READS = (
    "*.get",
    "*.list",
    "*.aggregatedList",
    "*.getIamPolicy",
    "*.batchGet",
    "bigquery.jobs.query",
    "*.wait",
)
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
FRESH_SERVICES = {"cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com"}
ALWAYS_ON = {"serviceusage", "cloudresourcemanager", "iamcredentials"}


class Refusal(Exception):
    """An error that Google answers with."""

    def __init__(self, status: int, reason: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.details = status, reason, message, details or []

    @property
    def body(self) -> Json:
        """As Google writes it."""
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
                "details": self.details,
            }
        }


class Dropped(Exception):
    """The connection ends before the answer."""


@dataclass
class Record:
    """A request that came, with what the discovery document has against it."""

    method: str
    verb: str
    path: str
    body: Any
    faults: list[str]
    authorization: str
    status: int = 0

    @property
    def mutates(self) -> bool:
        """Whether it asks for a change."""
        return self.verb != "GET" and not any(fnmatch.fnmatch(self.method, read) for read in READS)


@dataclass
class Trouble:
    """What shall go wrong, and how often."""

    method: str
    times: int
    refusal: Refusal | None = None
    drop: bool = False
    operation_error: Json | None = None


@dataclass
class Cloud:
    """Projects, their resources by path, operations, IAM policies, and the log of requests."""

    page_size: int = 2
    vm_identity: str = ""
    polls: int = 1
    log: list[Record] = field(default_factory=list)
    resources: dict[str, Json] = field(default_factory=dict)
    policies: dict[str, Json] = field(default_factory=dict)
    projects: dict[str, Json] = field(default_factory=dict)
    services: dict[str, set[str]] = field(default_factory=dict)
    budgets: dict[str, Json] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    spend: list[Json] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    operations: dict[str, Json] = field(default_factory=dict)
    requests: dict[str, Json] = field(default_factory=dict)
    _number: int = 1000
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- what a test arranges and asks ---

    def add_project(self, name: str, *, services: set[str] | None = None) -> None:
        """Have a project with billing; ``services`` are the APIs enabled beside those of a new one."""
        self.projects[name] = {
            "name": f"projects/{self._next()}", "projectId": name, "state": "ACTIVE", "displayName": name,
            "billing": "billingAccounts/000000-AAAAAA-000000",
        }  # fmt: skip
        self.services[name] = FRESH_SERVICES | (services or set())

    def refuse(self, method: str, status: int, reason: str, message: str, *, times: int = 1) -> None:
        """Answer the next requests of a method (a pattern) with an error."""
        self.troubles.append(Trouble(method, times, Refusal(status, reason, message)))

    def drop(self, method: str, *, times: int = 1) -> None:
        """Do what the next requests ask for, and break the connection before the answer."""
        self.troubles.append(Trouble(method, times, drop=True))

    def fail_operation(self, method: str, code: str, message: str) -> None:
        """Accept the next request, and let its operation fail."""
        self.troubles.append(Trouble(method, 1, operation_error={"code": code, "message": message}))

    def mutations(self) -> list[str]:
        """The methods of the requests that asked for a change, in their order."""
        return [record.method for record in self.log if record.mutates]

    def faults(self) -> list[str]:
        """Everything that the discovery documents have against the requests so far."""
        return [f"{record.method}: {fault}" for record in self.log for fault in record.faults]

    def named(self, collection: str) -> dict[str, Json]:
        """The resources of a collection by their names."""
        return {
            path.rsplit("/", 1)[1]: resource
            for path, resource in self.resources.items()
            if path.rsplit("/", 2)[-2] == collection
        }

    # --- requests ---

    def request(
        self, host: str, verb: str, path: str, query: dict[str, list[str]], text: str, authorization: str
    ) -> Answer:
        """Answer a request."""
        with self._lock:
            if host == "oauth2.googleapis.com":
                return 200, {"access_token": "ya29.stand-in", "expires_in": 3600, "token_type": "Bearer"}
            body = json.loads(text) if text else None
            found = contract.find(host, verb, path)
            if found is None:
                self.log.append(Record("unknown", verb, host + path, body, ["no such method"], authorization))
                return 404, Refusal(404, "notFound", f"{host} has no {verb} {path}").body
            api, method = found
            faults = contract.faults(api, method, path, query, body)
            record = Record(method.id, verb, path, body, faults, authorization)
            self.log.append(record)
            try:
                if faults:
                    raise Refusal(400, "invalid", "; ".join(faults))
                if not authorization.startswith("Bearer "):
                    raise Refusal(401, "required", "Request is missing required authentication credential.")
                trouble = self._trouble(method.id)
                if trouble and trouble.refusal:
                    raise trouble.refusal
                record.status, answer = self._dispatch(method, path, query, body)
                if trouble and trouble.operation_error and answer:
                    self.operations[answer["name"]]["error"] = {"errors": [trouble.operation_error]}
                    self._undo(method, path, body)
                if trouble and trouble.drop:
                    raise Dropped
            except Refusal as refusal:
                record.status = refusal.status
                return refusal.status, refusal.body
            return record.status, answer

    def _trouble(self, method: str) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.times and fnmatch.fnmatch(method, trouble.method):
                trouble.times -= 1
                return trouble
        return None

    def _undo(self, method: Method, path: str, body: Json | None) -> None:
        if method.name == "insert" and body:
            self.resources.pop(f"{path}/{body['name']}", None)

    def _dispatch(self, method: Method, path: str, query: dict[str, list[str]], body: Json | None) -> Answer:
        self._require_api(method, path, query)
        handlers: dict[str, Callable[[Method, str, dict[str, list[str]], Json], Answer]] = {
            "compute": self._compute,
            "storage": self._storage,
            "iam": self._iam,
            "serviceusage": self._serviceusage,
            "cloudresourcemanager": self._projects,
            "cloudbilling": self._billing,
            "billingbudgets": self._budgets,
            "bigquery": self._bigquery,
            "iamcredentials": self._token,
            "secretmanager": self._secret,
        }
        return handlers[method.api](method, path, query, body or {})

    def _require_api(self, method: Method, path: str, query: dict[str, list[str]]) -> None:
        if method.api in ALWAYS_ON or method.api in {"cloudbilling", "billingbudgets"}:
            return
        found = re.search(r"/projects/([^/:]+)", path)
        project = found[1] if found else next(iter(query.get("project", [])), None)
        if project is None:  # a bucket, whose name alone says whose it is
            return
        if project not in self.projects:
            raise Refusal(404, "notFound", f"The resource 'projects/{project}' was not found")
        host = f"{method.api}.googleapis.com"
        if host not in self.services[project]:
            message = f"{host} has not been used in project {project} before or it is disabled."
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
            raise Refusal(403, "accessNotConfigured", message, details)

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    # --- Compute Engine ---

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

    def _page(self, items: list[Json], query: dict[str, list[str]], key: str) -> Json:
        wanted = [item for item in items if _matches(item, next(iter(query.get("filter", [])), ""))]
        start = int(next(iter(query.get("pageToken", [])), "0"))
        page: Json = {key: wanted[start : start + self.page_size]}
        if start + self.page_size < len(wanted):
            page["nextPageToken"] = str(start + self.page_size)
        return page

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
        resource["disks"].append(_answered(body))

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

    # --- the other APIs ---

    def _policy(self, name: str) -> Json:
        return self.policies.setdefault(name, {"version": 1, "etag": self._next(), "bindings": []})

    def _set_policy(self, name: str, policy: Json) -> Json:
        if policy.get("etag") != self._policy(name)["etag"]:
            raise Refusal(
                409,
                "aborted",
                "There were concurrent policy changes. Please retry the whole read-modify-write.",
            )
        self.policies[name] = {**policy, "etag": self._next()}
        return self.policies[name]

    def _storage(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.name == "insert":
            target = f"{path}/{body['name']}"
            if target in self.resources:
                raise Refusal(
                    409,
                    "conflict",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            self.resources[target] = {
                "kind": "storage#bucket", "location": "US", "storageClass": "STANDARD",
                "softDeletePolicy": {"retentionDurationSeconds": "604800"},
                "iamConfiguration": {
                    "publicAccessPrevention": "inherited",
                    "uniformBucketLevelAccess": {"enabled": False},
                },
                **copy.deepcopy(body),
            }  # fmt: skip
            return 200, self.resources[target]
        bucket = path.removesuffix("/iam")
        if bucket not in self.resources:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        if method.name == "getIamPolicy":
            return 200, self._policy(bucket)
        if method.name == "setIamPolicy":
            return 200, self._set_policy(bucket, body)
        if method.name == "patch":
            if body.get("location", self.resources[bucket]["location"]) != self.resources[bucket]["location"]:
                raise Refusal(400, "invalid", "The location of a bucket cannot be changed.")
            _merge(self.resources[bucket], body)
        if method.name == "delete":
            del self.resources[bucket]
            return 204, None
        return 200, self.resources[bucket]

    def _iam(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        project = path.split("/")[3]
        if method.name == "create":
            email = f"{body['accountId']}@{project}.iam.gserviceaccount.com"
            target = f"{path}/{email}"
            if target in self.resources:
                raise Refusal(
                    409,
                    "alreadyExists",
                    f"Service account {body['accountId']} already exists within project {project}.",
                )
            self.resources[target] = {
                "name": target.removeprefix("/v1/"), "email": email, **body["serviceAccount"],
            }  # fmt: skip
            return 200, self.resources[target]
        account = path.partition(":")[0]
        if account not in self.resources:
            raise Refusal(404, "notFound", f"Unknown service account {account}")
        if method.name == "getIamPolicy":
            return 200, self._policy(account)
        if method.name == "setIamPolicy":
            return 200, self._set_policy(account, body["policy"])
        if method.name == "patch":
            self.resources[account].update(
                {key: body["serviceAccount"][key] for key in body["updateMask"].split(",")}
            )
        if method.name == "delete":
            del self.resources[account]
            return 200, {}
        return 200, self.resources[account]

    def _serviceusage(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.collection == "operations":
            return 200, self._long(path)
        project = path.split("/")[3]
        if project not in self.projects:
            raise Refusal(
                403, "forbidden", f"Permission denied on resource project {project} (or it may not exist)."
            )
        if method.name == "batchGet":
            names = [name.rsplit("/", 1)[1] for name in query["names"]]
            return 200, {"services": [self._service(project, name) for name in names]}
        if "billing" not in self.projects[project]:
            raise Refusal(
                400,
                "failedPrecondition",
                f"Billing account for project '{project}' is not found. Billing must be enabled.",
            )
        self.services[project] |= set(body["serviceIds"])
        return 200, self._start_long("operations/acat.p2-" + self._next(), {})

    def _service(self, project: str, name: str) -> Json:
        state = "ENABLED" if name in self.services[project] else "DISABLED"
        return {
            "name": f"projects/{project}/services/{name}",
            "parent": f"projects/{project}",
            "state": state,
        }

    def _start_long(self, name: str, response: Json) -> Json:
        self.operations[name] = {"name": name, "done": False, "response": response, "polls": self.polls}
        return {"name": name, "done": False}

    def _long(self, path: str) -> Json:
        operation = self.operations[path.split("/", 2)[2]]
        operation["polls"] -= 1
        if operation["polls"] >= 0:
            return {"name": operation["name"], "done": False}
        return {"name": operation["name"], "done": True, "response": operation["response"]}

    def _projects(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.collection == "operations":
            return 200, self._long(path)
        if method.name == "create":
            if body["projectId"] in self.projects:
                raise Refusal(409, "alreadyExists", "Requested entity already exists")
            project = {"name": f"projects/{self._next()}", "state": "ACTIVE", **body}
            self.projects[body["projectId"]] = project
            self.services[body["projectId"]] = set(FRESH_SERVICES)
            return 200, self._start_long("operations/cp." + self._next(), project)
        name = path.split("/")[3].partition(":")[0]
        if name not in self.projects:
            raise Refusal(
                403,
                "forbidden",
                f"The caller does not have permission on project {name} (or it may not exist)",
            )
        if method.name == "getIamPolicy":
            return 200, self._policy(f"projects/{name}")
        if method.name == "setIamPolicy":
            return 200, self._set_policy(f"projects/{name}", body["policy"])
        if method.name == "patch":
            self.projects[name].update(body)
            return 200, self._start_long("operations/up." + self._next(), self.projects[name])
        return 200, {key: value for key, value in self.projects[name].items() if key != "billing"}

    def _billing(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        project = self.projects.get(path.split("/")[3])
        if project is None:
            raise Refusal(
                403, "forbidden", "The caller does not have permission (or the project may not exist)"
            )
        if method.name == "updateBillingInfo":
            project["billing"] = body["billingAccountName"]
        account = project.get("billing", "")
        return 200, {
            "projectId": project["projectId"],
            "billingAccountName": account,
            "billingEnabled": bool(account),
        }

    def _budgets(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.name == "list":
            return 200, self._page(list(self.budgets.values()), query, "budgets")
        name = (
            f"{path.removeprefix('/v1/')}/{self._next()}"
            if method.name == "create"
            else path.removeprefix("/v1/")
        )
        if method.name == "delete":
            del self.budgets[name]
            return 200, {}
        self.budgets[name] = {**self.budgets.get(name, {}), **body, "name": name}
        return 200, self.budgets[name]

    def _token(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method.name == "getAllowedLocations":
            return 200, {"locations": [], "encodedLocations": "0x0"}
        name = path.rsplit("/", 1)[1].partition("@")[0]
        return 200, {"accessToken": f"ya29.as-{name}", "expireTime": "2099-01-01T00:00:00Z"}

    def _secret(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        name = path.split("/")[5]
        if name not in self.secrets:
            raise Refusal(404, "notFound", f"Secret [{name}] not found or has no versions.")
        if method.name == "list":
            return 200, {"versions": [{"name": f"{path.removeprefix('/v1/')}/1", "state": "ENABLED"}]}
        data = base64.b64encode(self.secrets[name].encode()).decode()
        return 200, {"name": path.removeprefix("/v1/"), "payload": {"data": data}}

    def _bigquery(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        return 200, {
            "jobComplete": True,
            "schema": {"fields": [{"name": name} for name in (self.spend[0] if self.spend else {})]},
            "rows": [{"f": [{"v": str(value)} for value in row.values()]} for row in self.spend],
        }


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


def _merge(into: Json, changes: Json) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


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
