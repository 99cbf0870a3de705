# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""The one client of Google Cloud that all ``gcp_*`` modules share.

It signs in (application default credentials, a service account, impersonation), asks Google's JSON APIs,
tries again what is worth it, waits for operations, and turns refusals into errors that say what to do.
"""

from __future__ import annotations

import os
import re
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

try:
    import google.auth
    import google.auth.exceptions
    import google.auth.impersonated_credentials
    import google.auth.transport.requests
    import google.oauth2.service_account
    import requests

    SignInError: type[Exception] = google.auth.exceptions.GoogleAuthError
    IMPORT_ERROR = None
except ImportError:
    SignInError = RuntimeError
    IMPORT_ERROR = traceback.format_exc()

Json = dict[str, Any]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ENDPOINTS = {
    "bigquery": "https://bigquery.googleapis.com/bigquery/v2",
    "billingbudgets": "https://billingbudgets.googleapis.com/v1",
    "cloudbilling": "https://cloudbilling.googleapis.com/v1",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com/v3",
    "compute": "https://compute.googleapis.com/compute/v1",
    "iam": "https://iam.googleapis.com/v1",
    "secretmanager": "https://secretmanager.googleapis.com/v1",
    "serviceusage": "https://serviceusage.googleapis.com/v1",
    "storage": "https://storage.googleapis.com/storage/v1",
}
# A role on the project that may do what an API refused, for the error.
ROLES = {
    "bigquery": "roles/bigquery.jobUser and roles/bigquery.dataViewer",
    "billingbudgets": "roles/billing.costsManager",
    "cloudbilling": "roles/browser",
    "cloudresourcemanager": "roles/resourcemanager.projectIamAdmin",
    "compute": "roles/compute.admin and roles/iam.serviceAccountUser",
    "iam": "roles/iam.serviceAccountAdmin",
    "secretmanager": "roles/secretmanager.secretAccessor",
    "serviceusage": "roles/serviceusage.serviceUsageAdmin",
    "storage": "roles/storage.admin",
}
# The same on a billing account.
ACCOUNT_ROLES = {"billingbudgets": "roles/billing.costsManager", "cloudbilling": "roles/billing.user"}
# Google's words for a project without billing. Names of projects and tables may hold "billing", too.
NO_BILLING = re.compile(
    r"accountdisabled|billing_?(?:disabled|not_?found|not_?open|not_?enabled)\b"
    r"|billing (?:must|to) be enabled|billing (?:is |account )?disabled|billing has not been enabled"
    r"|not configured billing|absent billing account|billing account for (?:the owning )?project"
)
AGAIN = {429, 500, 502, 503, 504}
ATTEMPTS = 6
REQUEST_SECONDS = 60

ARGUMENTS: Json = {
    "project": {"type": "str", "required": True},
    "service_account_file": {"type": "path", "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_FILE"])},
    "impersonate": {"type": "str", "fallback": (env_fallback, ["GCP_IMPERSONATE_SERVICE_ACCOUNT"])},
    "endpoints": {"type": "dict", "default": {}},
    "timeout": {"type": "int", "default": 600},
}


def parameters(project: str) -> Json:
    """The options of a client where no module reads them: what the environment says, else the defaults."""
    found: Json = {}
    for name, spec in ARGUMENTS.items():
        _function, variables = spec.get("fallback", (None, []))
        said = [os.environ[variable] for variable in variables if variable in os.environ]
        found[name] = said[0] if said else spec.get("default")
    return {**found, "project": project}


class GcpError(Exception):
    """Google refused, or what is asked for is not possible; the message says why and names the way out.

    ``status`` is the HTTP status, or 0; ``reason`` Google's word for what happened.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


def run(options: Json, work: Callable[[AnsibleModule, Client], Json]) -> None:
    """Be a module: read the options, do the work, and end with its result or one clear error."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **options}, supports_check_mode=True)
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("google-auth and requests"), exception=IMPORT_ERROR)
    try:
        module.exit_json(**work(module, Client(module.params, check_mode=module.check_mode)))
    except (GcpError, SignInError) as error:
        module.fail_json(msg=told(error))


def told(error: Exception) -> str:
    """What a user is told of an error."""
    if isinstance(error, GcpError):
        return str(error)
    return (
        f"Signing in failed: {error}. Run `gcloud auth application-default login`, or set "
        "service_account_file (GCP_SERVICE_ACCOUNT_FILE) or impersonate (the variable of the environment "
        "is GCP_IMPERSONATE_SERVICE_ACCOUNT)."
    )


def credentials(params: Json) -> Any:
    """Sign in as the options say; nothing of it is ever shown."""
    if params.get("service_account_file"):
        from_file: Any = google.oauth2.service_account.Credentials.from_service_account_file
        try:
            source = from_file(params["service_account_file"], scopes=[SCOPE])
        except (OSError, ValueError) as error:
            raise GcpError(
                f"service_account_file {params['service_account_file']} is of no use: {error}."
            ) from error
    else:
        source = google.auth.default(scopes=[SCOPE])[0]
    if not params.get("impersonate"):
        return source
    impersonated: Any = google.auth.impersonated_credentials.Credentials
    return impersonated(
        source_credentials=source, target_principal=params["impersonate"], target_scopes=[SCOPE]
    )


class Client:
    """Requests to Google's APIs.

    Args:
        params: The module's options, those of :data:`ARGUMENTS` among them.
        check_mode: Refuse to change anything; read what an API that is off, or a project that is not there,
            would hold as nothing, since the run itself brings them.
    """

    def __init__(self, params: Json, *, check_mode: bool = False) -> None:
        unknown = sorted(set(params["endpoints"]) - set(ENDPOINTS))
        if unknown:
            raise GcpError(f"endpoints names {', '.join(unknown)}; there are {', '.join(ENDPOINTS)}.")
        self.project: str = params["project"]
        self.check_mode = check_mode
        self._timeout: int = params["timeout"]
        self._endpoints = {**ENDPOINTS, **params["endpoints"]}
        self._credentials = credentials(params)
        authorized: Any = google.auth.transport.requests.AuthorizedSession
        self._session: Any = authorized(self._credentials)
        # Retries are ours alone: this one would repeat a request without saying so.
        self._session.mount("https://", requests.adapters.HTTPAdapter(max_retries=0))

    def get(
        self, api: str, path: str, *, to_come: Collection[str] = ("off", "unknown-project"), **params: Any
    ) -> Json | None:
        """Read; None when there is nothing of that name, or, in check mode, for the reasons ``to_come``."""
        try:
            return self._ask(api, "GET", path, None, params)
        except GcpError as error:
            if error.status == 404 or (self.check_mode and error.reason in to_come):
                return None
            raise

    def pages(self, api: str, path: str, **params: Any) -> Iterator[Json]:
        """Read a list, page by page."""
        token: Json = {}
        while True:
            page = self.get(api, path, **params, **token) or {}
            yield page
            if not page.get("nextPageToken"):
                return
            token = {"pageToken": page["nextPageToken"]}

    def read(self, api: str, path: str, body: Json | None = None, **params: Any) -> Json | None:
        """Read where Google wants a POST for it."""
        try:
            return self._ask(api, "POST", path, body, params)
        except GcpError as error:
            if self.check_mode and (error.status == 404 or error.reason in {"off", "unknown-project"}):
                return None
            raise

    def change(
        self,
        api: str,
        verb: str,
        path: str,
        body: Json | None = None,
        *,
        made: Callable[[], Json] = dict,
        **params: Any,
    ) -> Json:
        """Change something, and wait until it is so; the answer, or the finished operation.

        ``made`` finds what a request made whose answer was lost. It is asked before the request is repeated,
        where Google would make a second one of the same name.
        """
        if self.check_mode:
            raise AssertionError(f"{verb} {path} in check mode")
        if api == "compute":
            # Google does a request of the same id once, however often it comes.
            params["requestId"] = str(uuid.uuid4())
        answer = self._ask(api, verb, path, body, params, made)
        if answer.get("kind") == "compute#operation":
            return self._wait_compute(answer)
        if re.match(r"operations/", str(answer.get("name", ""))):
            return self._wait_long(api, answer)
        return answer

    def until(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for something that Google does on its own."""
        deadline, pause = time.monotonic() + self._timeout, 0.2
        while not ready():
            if time.monotonic() > deadline:
                raise GcpError(
                    f"{what} is not so after {self._timeout} s. Look into the console; run again to go on."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 5)

    def _wait_compute(self, operation: Json) -> Json:
        latest = {"it": operation}
        path = operation["selfLink"].partition("/compute/v1/")[2]

        def done() -> bool:
            if latest["it"]["status"] == "DONE":
                return True
            latest["it"] = self._ask("compute", "GET", path, None, {})
            return bool(latest["it"]["status"] == "DONE")

        self.until(f"{operation['operationType']} of {operation['targetLink'].rsplit('/', 1)[1]}", done)
        errors = latest["it"].get("error", {}).get("errors", [])
        if errors:
            raise self._explain("compute", 0, errors[0].get("code", ""), errors[0].get("message", ""))
        return latest["it"]

    def _wait_long(self, api: str, operation: Json) -> Json:
        latest = {"it": operation}

        def done() -> bool:
            if not latest["it"].get("done"):
                latest["it"] = self._ask(api, "GET", f"/{operation['name']}", None, {})
            return bool(latest["it"].get("done"))

        self.until(operation["name"], done)
        error = latest["it"].get("error")
        if error:
            raise self._explain(api, 0, str(error.get("status", "")), error.get("message", ""))
        response: Json = latest["it"].get("response", {})
        return response

    def _ask(
        self,
        api: str,
        verb: str,
        path: str,
        body: Json | None,
        params: Json,
        made: Callable[[], Json] = dict,
    ) -> Json:
        url = f"{self._endpoints[api]}/{path.lstrip('/')}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._session.request(verb, url, json=body, params=params, timeout=REQUEST_SECONDS)
            except requests.exceptions.RequestException as error:
                if attempt == ATTEMPTS:
                    raise GcpError(
                        f"{url} does not answer: {error}. Check the network and the proxy; "
                        "run again to go on."
                    ) from error
            else:
                if response.ok:
                    return response.json() if response.content else {}
                error_ = _error_of(response)
                if attempt == ATTEMPTS or not _passes(response.status_code, error_[0]):
                    raise self._explain(api, response.status_code, *error_, f"{verb} {path} {body}")
            time.sleep(min(0.2 * 2**attempt, 20))
            found = made()
            if found:
                return found
        raise AssertionError("not reached")

    def _explain(self, api: str, status: int, reason: str, message: str, request: str = "") -> GcpError:
        """Make an error of Google's words on a request (verb, path and body) that names the way out."""
        host = f"{api}.googleapis.com"
        text = message.rstrip(".")
        lower = f"{reason} {message}".lower()
        # Of the same reason as an API that is off.
        if "quota project" in lower:
            way = f"Run `gcloud auth application-default set-quota-project {self.project}`."
            return GcpError(f"{host} wants to know whose project asks: {text}. {way}", status, reason)
        if "accessnotconfigured" in lower or "service_disabled" in lower or "it is disabled" in lower:
            way = (
                f"Enable it: add {host} to gcp_services and run playbooks/provision.yml, or `gcloud services "
                f"enable {host} --project {self.project}`. It takes effect after some minutes."
            )
            return GcpError(f"The API {host} is off in project {self.project} ({text}). {way}", status, "off")
        if "quota" in lower and "rate" not in lower:
            way = "Ask for more under IAM & Admin > Quotas, or choose another gcp_machine_type or gcp_zone."
            return GcpError(f"A quota of project {self.project} is used up: {text}. {way}", status, "quota")
        if "pool_exhausted" in lower:
            way = "Try again later, choose another gcp_zone, or, for Spot VMs, set gcp_spot to false."
            return GcpError(f"The zone has no room: {text}. {way}", status, "stockout")
        if (
            NO_BILLING.search(lower)
            and status in {0, 400, 403}
            and api != "cloudbilling"
            and api != "billingbudgets"
        ):
            way = "Link a billing account: set gcp_billing_account and run playbooks/provision.yml."
            return GcpError(f"Project {self.project} has no billing: {text}. {way}", status, "billing")
        if status in {401, 403}:
            # Not any name with two dots: accounts, too, have such.
            missing = re.search(
                r"(?:[Pp]ermission '?|have |Required ')([a-z]+\.[a-zA-Z]+\.[a-zA-Z]+)\b", message
            )
            who = (
                getattr(self._credentials, "service_account_email", None)
                or "the account that you signed in with"
            )
            role, command = self._grant(api, request)
            way = (
                f"Grant {who} {f'the permission {missing[1]}, which is in ' if missing else ''}{role}: "
                f"`{command} --member … --role {'…' if ' and ' in role else role}`."
            )
            # What else may not exist, a bucket for instance, is there, or is another one's.
            absent = "may not exist" in message or "not found or permission denied" in lower
            unknown = absent and (api == "cloudresourcemanager" or "project " in lower)
            if request.startswith("POST projects "):
                unknown = False
                way += " gcp_project_parent names what a new project belongs to."
            elif unknown:
                way = f"Is gcp_project right? gcp_create_project makes a new one. If it is there: {way}"
            return GcpError(
                f"{host} refused ({status}): {text}. {way}", status, "unknown-project" if unknown else reason
            )
        if status == 409 and request.startswith("POST projects "):
            way = "Choose another ID: no two projects of Google share one. If you just made it, run again."
            return GcpError(f"gcp_project is {self.project}, which is taken: {text}. {way}", status, reason)
        bucket = re.match(r"DELETE b/(\S+)", request)
        if bucket and "not empty" in lower:
            way = f"Empty it: `gcloud storage rm --recursive 'gs://{bucket[1]}/**'`, then run again."
            return GcpError(f"Google deletes no bucket that holds something: {text}. {way}", status, reason)
        return GcpError(f"{host} answered {status or 'an operation'} {reason}: {text}.", status, reason)

    def _grant(self, api: str, request: str) -> tuple[str, str]:
        """A role that may do what was refused, and the command that grants it where it counts."""
        account = re.search(r"billingAccounts/([\w-]+)", request)
        if account and api in ACCOUNT_ROLES:
            return ACCOUNT_ROLES[api], f"gcloud billing accounts add-iam-policy-binding {account[1]}"
        if not request.startswith("POST projects "):
            return ROLES[api], f"gcloud projects add-iam-policy-binding {self.project}"
        parent = re.search(r"(folders|organizations)/(\d+)", request)
        kind, number = parent.groups() if parent else ("organizations", "ORGANIZATION")
        group = "resource-manager folders" if kind == "folders" else kind
        return "roles/resourcemanager.projectCreator", f"gcloud {group} add-iam-policy-binding {number}"


def _passes(status: int, reason: str) -> bool:
    """Whether a refusal goes away by itself within seconds."""
    if "quotaExceeded" in reason:
        return False
    return status in AGAIN or "rateLimitExceeded" in reason or "resourceNotReady" in reason


def _error_of(response: Any) -> tuple[str, str]:
    try:
        error = response.json()["error"]
        details = [item.get("reason", "") for item in error.get("details", [])]
        reasons = [item.get("reason", "") for item in error.get("errors", [])]
        return " ".join(filter(None, [*details, *reasons])) or error.get("status", ""), error["message"]
    except (ValueError, KeyError, TypeError):
        return response.reason or "", response.text[:300]
