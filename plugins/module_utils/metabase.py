# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""A client of Metabase's API: login, timeouts, pages, and one clear message for each failure."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

PAGE = 100
# What a proxy or a server that is starting answers. Only reading is tried again: it can be no second write.
PASSING = (429, 502, 503, 504)
TRIES = 3

# The options that all modules of Metabase share, and those of a login to one that is set up; their
# documentation is the fragment `metabase`.
CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 60},
}
LOGIN_OPTIONS: dict[str, dict[str, Any]] = {
    **CLIENT_OPTIONS,
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "api_key": {"type": "str", "no_log": True},
}
LOGIN_RULES: dict[str, Any] = {
    "mutually_exclusive": [("api_key", "login_user"), ("api_key", "login_password")],
    "required_together": [("login_user", "login_password")],
    "required_one_of": [("api_key", "login_user")],
}


class MetabaseError(Exception):
    """What was asked for cannot be done; the message says why and names the way out."""


class RefusedError(MetabaseError):
    """Metabase does not accept what was sent (400)."""


class LoginError(MetabaseError):
    """Metabase does not accept the user, the password or the key."""


class ThrottledError(MetabaseError):
    """Metabase answers nothing for now, because it was asked too often."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        """Go nowhere; the answer is an error then."""


class Metabase:
    """One Metabase, as one user.

    The first request that needs it logs in; :meth:`close` logs out. A secret that an answer repeats is taken
    out of the message by the module, whose option it is.
    """

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        timeout: float = 60,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: Address of Metabase, without C(/api).
            user: Email address to log in with.
            password: Password of that user.
            api_key: Instead of user and password.
            timeout: Seconds that a request may take.
        """
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._api_key = api_key
        self._timeout = timeout
        self._session: str | None = None
        # One for all requests: reading the machine's certificates takes longer than a request.
        self._opener = build_opener(_NoRedirect)

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Metabase:
        """The client that the options of a module ask for."""
        return cls(
            params["url"],
            params["login_user"],
            params["login_password"],
            params["api_key"],
            params["timeout"],
        )

    def properties(self) -> dict[str, Any]:
        """What Metabase tells everybody about itself, without a login."""
        found: dict[str, Any] = self._request("GET", "/api/session/properties", None, {})
        return found

    def is_set_up(self) -> bool:
        """Whether there is a first user; until then nobody can log in."""
        properties = self.properties()
        # Older ones tell only of the token, which is gone with the first user.
        return bool(properties.get("has-user-setup", not properties.get("setup-token")))

    def get(self, path: str, **query: Any) -> Any:
        """Read one thing.

        Raises:
            MetabaseError: Metabase did not answer, or refused, or has no such thing.
        """
        return self._request("GET", path + _query(query), None, self._headers())

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Read a list that comes in pages."""
        offset = 0
        while True:
            page = self.get(path, **query, limit=PAGE, offset=offset)
            yield from page["data"]
            offset += PAGE
            if offset >= page["total"]:
                return

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Create or trigger something; sent once.

        Raises:
            MetabaseError: Metabase did not answer, or refused.
        """
        return self._request("POST", path, body or {}, self._headers())

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Change something; sent once.

        Raises:
            MetabaseError: Metabase did not answer, or refused.
        """
        return self._request("PUT", path, body, self._headers())

    def set_up(self, body: dict[str, Any]) -> None:
        """Create the first user, and go on as that user."""
        self._open("/api/setup", body)

    def login(self) -> None:
        """Log in with user and password.

        Raises:
            LoginError: Metabase does not accept them.
            ThrottledError: There were too many attempts before.
        """
        body = {"username": self._user, "password": self._password}
        self._open("/api/session", body)

    def _open(self, path: str, body: dict[str, Any]) -> None:
        answer = self._request("POST", path, body, {})
        if not isinstance(answer, dict) or not answer.get("id"):
            raise MetabaseError(
                f"Metabase at {self.url} answers the login without a session. Is url the address of Metabase?"
            )
        self._session = answer["id"]

    def close(self) -> None:
        """Log out, so that no session is left behind."""
        if self._session:
            headers, self._session = self._headers(), None
            with contextlib.suppress(MetabaseError):  # It ends by itself, too; what was done is done.
                self._request("DELETE", "/api/session", None, headers)

    def _headers(self) -> dict[str, str]:
        if self._api_key:
            return {"X-Api-Key": self._api_key}
        if not self._session:
            self.login()
        return {"X-Metabase-Session": str(self._session)}

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        for tries_left in reversed(range(TRIES if method == "GET" else 1)):
            try:
                return self._send(method, path, body, headers)
            except HTTPError as error:
                if error.code not in PASSING or not tries_left:
                    raise self._refusal(method, path, error) from None
            except (OSError, HTTPException) as error:
                if not tries_left:
                    raise MetabaseError(
                        f"Metabase does not answer at {self.url} within {self._timeout:g} s ({error}). "
                        "Check url, and that the service runs and its port can be reached from here."
                    ) from None
            time.sleep(1)
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        if not self.url.startswith(("http://", "https://")):
            raise MetabaseError(f"url is {self.url}, and must begin with http:// or https://.")
        request = Request(  # noqa: S310 - its scheme was looked at
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
        )
        with self._opener.open(request, timeout=self._timeout) as answer:
            content = answer.read()
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError:
            raise MetabaseError(
                f"{self.url}{path} answers with something that is no JSON. Is url the address of Metabase?"
            ) from None

    def _refusal(self, method: str, path: str, error: HTTPError) -> MetabaseError:
        reason = error.headers.get("Location") or _reason(error.read())
        where = f"{method} {path.partition('?')[0]}"
        make, text = self._judge(error.code, where, reason)
        return make(text)

    def _judge(self, code: int, where: str, reason: str) -> tuple[Callable[[str], MetabaseError], str]:
        """The error for a status and what Metabase says about it."""
        if code == 429 or "too many attempts" in reason.lower():
            return ThrottledError, (
                f"Metabase at {self.url} answers no more for now ({where}: {reason}). Wait as long as it "
                "says, then run again. After several wrong passwords it refuses the right one, too; an API "
                "key is not affected."
            )
        if code == 401 and where == "POST /api/session":
            return LoginError, (
                f"Metabase at {self.url} does not let {self._user} in ({reason}). Check login_user and "
                "login_password."
            )
        if code == 401:
            return LoginError, (
                f"Metabase at {self.url} does not accept "
                f"{'the api_key' if self._api_key else f'the session of {self._user}'} ({where}: {reason})."
            )
        if code == 403:
            return MetabaseError, (
                f"Metabase at {self.url} does not allow {where} ({reason}). Use an administrator's login, "
                "or an API key of the group Administrators."
            )
        if code == 404:
            return MetabaseError, f"Metabase at {self.url} has nothing at {where} ({reason})."
        if 300 <= code < 400:
            return MetabaseError, f"Metabase at {self.url} redirects to {reason}. Give that address as url."
        if code == 402:
            return MetabaseError, f"Metabase at {self.url} wants a paid plan for {where} ({reason})."
        if code == 400:
            return RefusedError, f"Metabase at {self.url} does not accept {where}: {reason}"
        return MetabaseError, f"Metabase at {self.url} failed at {where} with status {code}: {reason}"


def finish(module: Any, client: Metabase, bring: Callable[[], dict[str, Any]]) -> None:
    """End a module with what it brought about, or with the error; and log out."""
    try:
        result = bring()
    except MetabaseError as error:
        module.fail_json(msg=str(error))
    finally:
        client.close()
    module.exit_json(**result)


def only(found: list[dict[str, Any]], what: str) -> dict[str, Any] | None:
    """The one thing of a name, or None.

    Raises:
        MetabaseError: There are several.
    """
    if len(found) > 1:
        ids = ", ".join(str(thing["id"]) for thing in found)
        raise MetabaseError(
            f"Metabase has {len(found)} of {what} (ids {ids}), and the name is what they are known by. "
            "Rename or archive all but one."
        )
    return found[0] if found else None


def database_named(client: Metabase, name: str) -> dict[str, Any] | None:
    """The database connection of a name, as Metabase lists it, or None.

    Raises:
        MetabaseError: There are several.
    """
    named = [database for database in client.get("/api/database")["data"] if database["name"] == name]
    return only(named, f"the database {name}")


def _query(query: dict[str, Any]) -> str:
    words = {name.replace("_", "-"): value for name, value in query.items()}
    text = urlencode({k: str(v).lower() if isinstance(v, bool) else v for k, v in words.items()}, doseq=True)
    return f"?{text}" if text else ""


def _reason(content: bytes) -> str:
    """What an error answer says, in a line: it is text, or has a message and errors by field."""
    text = content.decode(errors="replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = text
    if isinstance(answer, dict):
        fields = _leaves(answer.get("specific-errors") or answer.get("errors"))
        parts = [answer.get("message"), answer.get("error"), *fields]
        answer = "; ".join(dict.fromkeys(str(part) for part in parts if part)) or text
    return " ".join(str(answer).split())[:500] or "no reason given"


def _leaves(errors: Any, name: str = "") -> list[str]:
    """Errors by field, which may nest, as `field: message`."""
    if isinstance(errors, dict):
        return [
            leaf for key, value in errors.items() for leaf in _leaves(value, f"{name}.{key}" if name else key)
        ]
    if isinstance(errors, list):
        return [leaf for value in errors for leaf in _leaves(value, name)]
    return [f"{name}: {errors}" if name else str(errors)] if errors else []
