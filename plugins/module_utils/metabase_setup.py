# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``metabase_setup`` module does, without Ansible."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    LoginError,
    Metabase,
    MetabaseError,
)

# What Metabase tells of a setting that it keeps to itself.
MASKED = re.compile(r"\*{10}.{0,2}", re.DOTALL)
SECRET = re.compile("password|secret|token|key")


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
        MetabaseError: It was set up by somebody else, or a setting is wrong or cannot be set here.
    """
    if wanted.settings.get("site-url") is not None:
        # As Metabase keeps it; without a scheme it would put http:// before it.
        url = str(wanted.settings["site-url"]).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise MetabaseError(
                f"The setting site-url is {url!r}, and must begin with http:// or https://: the address by "
                "which people reach Metabase."
            )
        wanted = replace(wanted, settings={**wanted.settings, "site-url": url})
    fresh = not client.is_set_up()
    if not fresh:
        _check_user(client, wanted)
    elif not check:
        _create_user(client, wanted, client.properties().get("setup-token"))
    # Without a user nobody may read the settings.
    current = {} if fresh and check else _settings(client, wanted)
    values = {key: _typed(key, value, current.get(key)) for key, value in wanted.settings.items()}
    differing = {key: value for key, value in values.items() if not _same(value, current.get(key))}
    if not check:
        for key, value in differing.items():
            client.put(f"/api/setting/{key}", {"value": value})
    if fresh:
        # What check mode can tell, too.
        current, differing = {}, {key: value for key, value in wanted.settings.items() if value is not None}
    before, after = {}, {}
    for key, value in differing.items():
        found = current.get(key)
        hidden = is_secret(key, value) or _masked(found)
        before[key] = "(another)" if hidden and found is not None else found
        after[key] = "(as given)" if hidden and value is not None else value
    return {
        "changed": fresh or bool(differing),
        "set_up": fresh,
        "diff": {
            "before": {"user": None if fresh else wanted.email, "settings": before},
            "after": {"user": wanted.email, "settings": after},
            "before_header": client.url,
            "after_header": client.url,
        },
    }


def is_secret(key: str, value: Any) -> bool:
    """Whether the value of a setting must show nowhere. To hide true and false would hide all others, too."""
    open_words = ("", "true", "false")
    return bool(SECRET.search(key)) and isinstance(value, str) and value.lower() not in open_words


def _masked(found: Any) -> bool:
    return isinstance(found, str) and MASKED.fullmatch(found) is not None


def _same(value: Any, found: Any) -> bool:
    """Whether a setting is as wanted; of one that Metabase hides, as far as its end tells."""
    if _masked(found) and isinstance(value, str):
        return bool(value[-2:] == found[10:])
    return isinstance(value, bool) == isinstance(found, bool) and bool(value == found)


def _typed(key: str, value: Any, found: Any) -> Any:
    """The value, as Metabase keeps it: templates make text of true, false and numbers."""
    if not isinstance(value, str) or not isinstance(found, bool | int | float):
        return value
    read = _read(value)
    if read is None or isinstance(read, bool) != isinstance(found, bool):
        kind = "true or false" if isinstance(found, bool) else "a number"
        raise MetabaseError(f"The setting {key} is {value!r}, and must be {kind}.")
    return read


def _read(text: str) -> bool | int | float | None:
    """What a text means that is true, false or a number."""
    try:
        read = json.loads(text.lower())
    except ValueError:
        return None
    return read if isinstance(read, bool | int | float) else None


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
            "prefs": {"site_name": str(wanted.settings.get("site-name") or "Metabase")},
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
        # Nothing is wanted where none is set.
        set_or_not = setting["value"] is not None or value is None
        found[key] = setting["value"] if set_or_not else setting.get("default")
        if setting.get("is_env_setting"):
            # Metabase does not tell the value of such a setting.
            raise MetabaseError(
                f"The setting {key} of Metabase at {client.url} comes from its environment "
                f"({setting.get('env_name')}), so it cannot be set here. Change it there, or leave it out."
            )
    return found
