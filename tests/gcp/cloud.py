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
from tests.gcp.compute import Answer, Compute
from tests.gcp.contract import Method
from tests.gcp.refusal import Json, Refusal

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
# These need no billing.
FREE_SERVICES = {"cloudbilling.googleapis.com", "cloudresourcemanager.googleapis.com"}
# Of "IAM roles for Cloud Storage", what a bucket's own grants are asked for here.
BUCKET_ROLES = {
    "roles/storage.objectUser": {
        f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list", "update")
    },
    "roles/storage.legacyBucketReader": {"storage.buckets.get", "storage.objects.list"},
}
ALWAYS_ON = {"serviceusage", "iamcredentials"}


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
class Cloud(Compute):
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
    spend_takes_long: bool = False
    troubles: list[Trouble] = field(default_factory=list)
    operations: dict[str, Json] = field(default_factory=dict)
    requests: dict[str, Json] = field(default_factory=dict)
    _number: int = 1000
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- what a test arranges and asks ---

    def add_project(self, name: str, *, services: set[str] | None = None) -> None:
        """Have a project with billing; ``services`` are the APIs enabled beside those that need none."""
        self.projects[name] = {
            "name": f"projects/{self._next()}", "projectId": name, "state": "ACTIVE", "displayName": name,
            "billing": "billingAccounts/000000-AAAAAA-000000",
        }  # fmt: skip
        self.services[name] = FREE_SERVICES | (services or set())

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
        if method.api in ALWAYS_ON or (method.name == "create" and method.api == "cloudresourcemanager"):
            return
        found = re.search(r"/projects/([^/:]+)", path)
        project = found[1] if found else next(iter(query.get("project", [])), None)
        if project is None:  # a bucket, whose name alone says whose it is
            return
        if project not in self.projects:
            if method.api in {"cloudresourcemanager", "cloudbilling"}:  # They say so themselves.
                return
            raise Refusal(404, "notFound", f"The resource 'projects/{project}' was not found")
        host = f"{method.api}.googleapis.com"
        if host not in self.services[project]:
            message = f"{host} has not been used in project {project} before or it is disabled."
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
            raise Refusal(403, "accessNotConfigured", message, details)

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

    def _vm_permissions(self, bucket: str) -> set[str]:
        member = f"serviceAccount:{self.vm_identity}"
        roles = [grant["role"] for grant in self._policy(bucket)["bindings"] if member in grant["members"]]
        return set().union(*(BUCKET_ROLES.get(role, set()) for role in roles))

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
        bucket = path.removesuffix("/testPermissions").removesuffix("/iam")
        if bucket not in self.resources:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        if method.name == "getIamPolicy":
            return 200, self._policy(bucket)
        if method.name == "setIamPolicy":
            return 200, self._set_policy(bucket, body)
        if method.name == "testIamPermissions":
            held = self._vm_permissions(bucket) & set(query["permissions"])
            return 200, {"kind": "storage#testIamPermissionsResponse", "permissions": sorted(held)}
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
        if "billing" not in self.projects[project] and not set(body["serviceIds"]) <= FREE_SERVICES:
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
            # Whoever makes projects has these in a project of their own, which is asked.
            self.services[body["projectId"]] = set(FREE_SERVICES)
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
        data = base64.b64encode(self.secrets[name].encode()).decode()
        return 200, {"name": path.removeprefix("/v1/"), "payload": {"data": data}}

    def _bigquery(self, method: Method, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        if self.spend_takes_long:
            return 200, {"jobComplete": False, "jobReference": {"jobId": "1"}}
        return 200, {
            "jobComplete": True,
            "schema": {"fields": [{"name": name} for name in (self.spend[0] if self.spend else {})]},
            "rows": [{"f": [{"v": str(value)} for value in row.values()]} for row in self.spend],
        }


def _merge(into: Json, changes: Json) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = copy.deepcopy(value)
