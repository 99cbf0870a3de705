# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``metabase_setup`` module does, without Ansible."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    LoginError,
    Metabase,
    MetabaseError,
)


@dataclass(frozen=True)
class Wanted:
    """The first user, and the site's settings by their keys; a setting that is not named is left alone."""

    email: str
    password: str
    first_name: str | None = None
    last_name: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def bring(client: Metabase, wanted: Wanted, *, check: bool = False) -> dict[str, Any]:
    """Set Metabase up unless it is, then bring its settings to what is wanted; with ``check`` only say so.

    Returns:
        The module's result: C(changed), C(set_up), C(diff).

    Raises:
        MetabaseError: It was set up by somebody else, or a setting cannot be set here.
    """
    if "site-url" in wanted.settings:
        # As Metabase keeps it.
        url = str(wanted.settings["site-url"]).rstrip("/")
        wanted = replace(wanted, settings={**wanted.settings, "site-url": url})
    properties = client.properties()
    fresh = not properties.get("has-user-setup")
    if fresh:
        # Without a user nobody may read the settings; all that are wanted will be set.
        current: dict[str, Any] = {}
        if not check:
            _create_user(client, wanted, properties.get("setup-token"))
            current = _settings(client, wanted)
    else:
        _check_user(client, wanted)
        current = _settings(client, wanted)
    differing = {key: value for key, value in wanted.settings.items() if current.get(key) != value}
    if not check:
        for key, value in differing.items():
            client.put(f"/api/setting/{key}", {"value": value})
    before = {key: current.get(key) for key in differing}
    return {
        "changed": fresh or bool(differing),
        "set_up": fresh,
        "diff": {
            "before": {"user": None if fresh else wanted.email, "settings": before},
            "after": {"user": wanted.email, "settings": differing},
            "before_header": client.url,
            "after_header": client.url,
        },
    }


def _create_user(client: Metabase, wanted: Wanted, token: str | None) -> None:
    if not token:
        raise MetabaseError(
            f"Metabase at {client.url} has no user and gives no setup token, so nobody can be made. Is its "
            "database half migrated? Its journal tells."
        )
    names = {"first_name": wanted.first_name, "last_name": wanted.last_name}
    client.set_up(
        {
            "token": token,
            "user": {
                "email": wanted.email,
                "password": wanted.password,
                **{k: v for k, v in names.items() if v},
            },
            # The name of the site is required here; another one is set below.
            "prefs": {"site_name": str(wanted.settings.get("site-name", "Metabase"))},
        }
    )


def _check_user(client: Metabase, wanted: Wanted) -> None:
    try:
        client.login()
    except LoginError as error:
        raise MetabaseError(
            f"Metabase at {client.url} was set up already, and does not let {wanted.email} in with the "
            "given password. Nothing was changed. Give an administrator of it as email and password, or "
            "set the password back there: this module changes no existing user."
        ) from error


def _settings(client: Metabase, wanted: Wanted) -> dict[str, Any]:
    """The values of the wanted settings; where none is set, the default that holds."""
    if not wanted.settings:
        return {}
    known = {setting["key"]: setting for setting in client.get("/api/setting")}
    unknown = sorted(wanted.settings.keys() - known.keys())
    if unknown:
        raise MetabaseError(
            f"Metabase at {client.url} has no setting {', '.join(unknown)}. Check its spelling."
        )
    found = {}
    for key, value in wanted.settings.items():
        setting = known[key]
        found[key] = setting["value"] if setting["value"] is not None else setting.get("default")
        if setting.get("is_env_setting"):
            # Metabase does not tell the value of such a setting.
            raise MetabaseError(
                f"The setting {key} of Metabase at {client.url} comes from its environment "
                f"({setting.get('env_name')}), so it cannot be set to {value!r} here. Change it there, or "
                "leave it out."
            )
    return found
