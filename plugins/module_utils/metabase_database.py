# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``metabase_database`` module does, without Ansible."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    Metabase,
    MetabaseError,
    database_named,
)

ENGINE = "sparksql"
# Where the tables are.
PLACE = ("host", "port", "dbname")


@dataclass(frozen=True)
class Wanted:
    """A connection to a Spark Thrift Server."""

    name: str
    host: str
    port: int
    dbname: str
    user: str
    password: str
    jdbc_flags: str | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What Metabase calls the details, without the password."""
        found = {"host": self.host, "port": self.port, "dbname": self.dbname, "user": self.user}
        return found if self.jdbc_flags is None else {**found, "jdbc-flags": self.jdbc_flags}

    @property
    def login(self) -> dict[str, Any]:
        """The details with the password."""
        return {**self.details, "password": self.password}


def bring(client: Metabase, wanted: Wanted, sync_timeout: float, *, check: bool = False) -> dict[str, Any]:
    """Bring a connection to what is wanted, and wait until Metabase has read the tables for the first time.

    Metabase gives no password back. Whether the one that it keeps is the wanted one is found out by trying
    both: the wanted one must get in, and where the kept one does not, it is another. With ``check`` nothing
    is written.

    Returns:
        The module's result: C(changed), C(database_id), C(diff).

    Raises:
        MetabaseError: The Thrift Server does not let Metabase in, or the tables were not read in time.
    """
    after = {**wanted.details, "password": "(as given)", "synced": True}
    found: dict[str, Any] | None = None
    before: dict[str, Any] = {}
    # A task before may set it up in the run that follows; a login now would count as one that failed.
    if not check or client.is_set_up():
        found = _find(client, wanted.name)
        _try_wanted(client, wanted)
        before = _before(client, wanted, found)
    if not check and before != after:
        found = _write(client, wanted, found, before, after)
    again = before.get("synced") is False
    if not check and found:
        # One that was never finished, because Metabase stopped meanwhile, is not taken up by itself; and what
        # was read elsewhere holds until the next hour. That reading cannot be awaited: what was complete once
        # stays so for Metabase.
        elsewhere = bool(before) and any(before[key] != after[key] for key in PLACE)
        if again or elsewhere:
            client.post(f"/api/database/{found['id']}/sync_schema")
        _await_sync(client, found["id"], wanted.name, sync_timeout, again=again)
    return {
        "changed": before != after,
        "database_id": found["id"] if found else None,
        "diff": {
            "before": before,
            "after": after,
            "before_header": wanted.name,
            "after_header": wanted.name,
        },
    }


def _find(client: Metabase, name: str) -> dict[str, Any] | None:
    found = database_named(client, name)
    if found and found["engine"] != ENGINE:
        raise MetabaseError(
            f"Metabase's database {name} is a connection to {found['engine']}, which is not touched. Choose "
            "another name."
        )
    return dict(client.get(f"/api/database/{found['id']}")) if found else None


def _try_wanted(client: Metabase, wanted: Wanted) -> None:
    body = {"details": {"engine": ENGINE, "details": wanted.login}}
    answer = client.post("/api/database/validate", body)
    if not answer["valid"]:
        raise MetabaseError(
            f"Metabase does not get into the Thrift Server at {wanted.host}:{wanted.port} as {wanted.user}: "
            f"{answer.get('message') or 'no reason given'}. Check that the server runs and can be reached "
            "from Metabase's host, and user and password. Nothing was changed."
        )


def _before(client: Metabase, wanted: Wanted, found: dict[str, Any] | None) -> dict[str, Any]:
    if not found:
        return {}
    details = found["details"]
    known = {key: details.get(key) for key in wanted.details}
    if known == wanted.details:
        kept = client.get(f"/api/database/{found['id']}/healthcheck")["status"] == "ok"
    else:
        kept = True  # It is written with the rest; whether it is another, only the old server could tell.
    return {
        **known,
        "password": "(as given)" if kept else "(another)",
        "synced": found["initial_sync_status"] == "complete",
    }


def _write(
    client: Metabase,
    wanted: Wanted,
    found: dict[str, Any] | None,
    before: dict[str, Any],
    after: dict[str, Any],
) -> dict[str, Any]:
    if not found:
        made = {"name": wanted.name, "engine": ENGINE, "details": wanted.login}
        # The vendor's description calls these required; the values are its defaults.
        defaults = {"is_full_sync": True, "is_on_demand": False, "connection_source": "admin"}
        return dict(client.post("/api/database", {**made, **defaults}))
    if {**before, "synced": True} != after:
        body: dict[str, Any] = {"details": {**found["details"], **wanted.login}}
        if found.get("is_on_demand"):
            body["is_on_demand"] = True  # Left out, Metabase takes it for false.
        if found.get("cache_ttl") is not None:
            body["cache_ttl"] = found["cache_ttl"]  # Left out, Metabase takes it away.
        client.put(f"/api/database/{found['id']}", body)
    return found


def _await_sync(client: Metabase, database: int, name: str, timeout: float, *, again: bool) -> None:
    # A second try goes on under the name of the first until it is complete.
    deadline = time.monotonic() + timeout
    while (status := client.get(f"/api/database/{database}")["initial_sync_status"]) != "complete":
        if status == "aborted" and not again:
            raise MetabaseError(
                f"Metabase broke off reading the tables of {name}. Its journal tells why; the next run lets "
                "it try again."
            )
        if time.monotonic() > deadline:
            raise MetabaseError(
                f"Metabase has not read the tables of {name} after {timeout:g} s. Its journal tells what it "
                "does; a slow Thrift Server may need a greater sync_timeout."
            )
        time.sleep(1)
