# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""From what is to what is wanted, for any resource of Google Cloud.

A resource is written as its API writes it. What is not written is left as it is. A field that differs becomes
a PATCH, a method of its own, or a refusal that says why, as its kind has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, GcpError, Json
from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp_compare import describe, differences_of
from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp_kinds import (
    KINDS,
    Call,
    Kind,
    without_nothing,
)


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
        body = without_nothing(wanted)
        return Plan(title, about.api, [_creation(about, client, list_path, name, body)], after=body)
    differing = differences_of(kind, wanted, current)
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
