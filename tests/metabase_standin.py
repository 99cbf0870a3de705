"""A server that answers like Metabase, for tests of what talks to it.

No Metabase can run in the tests, so this follows the vendor's API description and source (version 60): which
keys a request may have, what is replaced as a whole, what reads back otherwise than it was written, and how
errors look.
One thing it does otherwise: Metabase drops undeclared keys in silence, and this refuses them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
MASK = "**MetabasePass**"
ATTEMPTS = 10
# The settings of the site that have a default; text is read as what the default is.
DEFAULTS: Json = {"site-name": "Metabase", "anon-tracking-enabled": True, "query-caching-max-kb": 2000}
# Of such a setting only the end reads back.
SENSITIVE = {"embedding-secret-key"}

# The keys that a request's body may have; those with a star it must have.
CARD = """
    type parameters parameter_mappings description collection_id collection_position result_metadata cache_ttl
    dashboard_id dashboard_tab_id
"""
DECLARED: dict[str, str] = {
    "POST /api/setup": "token* user* prefs*",
    "POST /api/setup user": "email* password* first_name last_name",
    "POST /api/setup prefs": "site_name* site_locale",
    "POST /api/session": "username* password*",
    "PUT /api/setting/:id": "value*",
    "POST /api/database": """
        name* engine* details* is_full_sync* is_on_demand* connection_source* schedules
        auto_run_queries cache_ttl provider_name
    """,
    "PUT /api/database/:id": """
        name engine refingerprint details write_data_details schedules is_full_sync is_on_demand
        description caveats points_of_interest auto_run_queries cache_ttl provider_name settings
    """,
    "POST /api/database/validate": "details*",
    "POST /api/database/validate details": "engine* details*",
    "POST /api/database/:id/sync_schema": "",
    "POST /api/collection": "name* description parent_id namespace authority_level",
    "POST /api/card": f"{CARD} name* dataset_query* display* visualization_settings* entity_id",
    "PUT /api/card/:id": f"""
        {CARD} name dataset_query display visualization_settings archived enable_embedding
        embedding_type embedding_params collection_preview
    """,
    "POST /api/dashboard": "name* description parameters cache_ttl collection_id collection_position",
    "PUT /api/dashboard/:id": """
        name description caveats points_of_interest show_in_getting_started enable_embedding
        embedding_type embedding_params parameters position width archived collection_id
        collection_position cache_ttl dashcards tabs
    """,
    "PUT /api/dashboard/:id parameters": """
        id* type* name slug default sectionId target mappings filteringParameters temporal_units
        values_query_type values_source_config values_source_type
    """,
    "PUT /api/dashboard/:id dashcards": """
        id* size_x* size_y* row* col* card_id* action_id dashboard_tab_id parameter_mappings
        visualization_settings inline_parameters series
    """,
    "PUT /api/dashboard/:id dashcards parameter_mappings": "parameter_id* target* card_id dashcard",
    "PUT /api/dashboard/:id tabs": "id* name* position",
}


class Answer(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@dataclass
class Thrift:
    """The server that databases are connections to."""

    up: bool = True
    passwords: dict[str, str] = field(default_factory=lambda: {"bi": "bi-password"})

    def complaint(self, details: Json) -> str | None:
        """Why a connection fails; nothing when it works."""
        if not self.up:
            where = f"jdbc:hive2://{details['host']}:{details['port']}/{details['dbname']}"
            return f"Could not open client transport with JDBC Uri: {where}: Connection refused"
        if self.passwords.get(details["user"]) != details["password"]:
            return "Could not open client transport: Peer indicated failure: Error validating the login"
        return None


class MetabaseStandIn:
    """What a Metabase holds. Tests look into it and change it as a person would in a browser."""

    def __init__(self) -> None:
        self.thrift = Thrift()
        self.token: str | None = str(uuid.uuid4())
        self.users: dict[str, str] = {}
        self.failures: dict[str, int] = {}
        self.sessions: set[str] = set()
        self.api_key = "mb_" + "k" * 40
        self.settings: Json = {**DEFAULTS, "site-url": None, **dict.fromkeys(SENSITIVE)}
        self.from_environment: set[str] = set()
        self.databases: dict[int, Json] = {}
        self.sync_after = 2
        self.collections: dict[int, Json] = {}
        self.cards: dict[int, Json] = {}
        self.dashboards: dict[int, Json] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.broken: list[tuple[int, Any]] = []
        self._last_id = 0

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """Requests that changed something."""
        passing = ("/api/session", "/api/database/validate")
        return [r for r in self.requests if r[0] in ("POST", "PUT") and r[1] not in passing]

    def next_id(self) -> int:
        """A fresh id."""
        self._last_id += 1
        return self._last_id

    # One method for each request

    def get_session_properties(self) -> Json:
        return {
            "setup-token": self.token,
            "has-user-setup": bool(self.users),
            "site-url": self.settings["site-url"],
            "version": {"tag": "v0.60.0", "date": "2026-03-22", "hash": "0000000", "branch": "release"},
            "token-features": {},
        }

    def post_setup(self, body: Json) -> Json:
        if self.users:
            raise Answer(
                403, "The /api/setup route can only be used to create the first user, however a user exists."
            )
        if body["token"] != self.token:
            raise Answer(400, {"errors": {"token": "Token does not match the setup token."}})
        if len(body["user"]["password"]) < 15:
            too_common = {"password": ["password is too common."]}
            raise Answer(400, {"errors": {"user": "bad"}, "specific-errors": {"user": too_common}})
        self.users[body["user"]["email"]] = body["user"]["password"]
        self.settings |= {"site-name": body["prefs"]["site_name"], "anon-tracking-enabled": True}
        self.token = None
        return self._open_session()

    def post_session(self, body: Json) -> Json:
        user = body["username"]
        if self.failures.get(user, 0) >= ATTEMPTS:
            wait = "Too many attempts! You must wait 15 seconds before trying again."
            raise Answer(401, {"errors": {"username": wait}})
        if self.users.get(user) != body["password"]:
            self.failures[user] = self.failures.get(user, 0) + 1
            raise Answer(401, {"errors": {"password": "did not match stored password"}})
        return self._open_session()

    def _open_session(self) -> Json:
        session = str(uuid.uuid4())
        self.sessions.add(session)
        return {"id": session}

    def get_user_current(self) -> Json:
        return {
            "id": 1,
            "email": next(iter(self.users)),
            "is_superuser": True,
            "common_name": "A",
            "first_name": "A",
            "last_name": "B",
            "is_active": True,
            "group_ids": [1, 2],
            "personal_collection_id": None,
        }

    def get_setting(self) -> list[Json]:
        return [
            {
                "key": key,
                "value": None if key in self.from_environment else self._readable(key, value),
                "is_env_setting": key in self.from_environment,
                "env_name": "MB_" + key.upper().replace("-", "_"),
                "default": DEFAULTS.get(key),
                "description": "",
            }
            for key, value in self.settings.items()
        ]

    def _readable(self, key: str, value: Any) -> Any:
        if value == DEFAULTS.get(key):
            return None
        return "*" * 10 + value[-2:] if key in SENSITIVE else value

    def put_setting(self, key: str, body: Json) -> None:
        value, default = body["value"], DEFAULTS.get(key)
        if value is None:
            value = default
        elif key == "site-url":
            value = value.rstrip("/")
            value = value if value.startswith("http") else f"http://{value}"
        elif isinstance(value, str) and isinstance(default, bool | int):
            try:
                value = json.loads(value.lower())
            except ValueError:
                raise Answer(500, {"message": f"Invalid value for {key}"}) from None
        self.settings[key] = value

    def get_database(self) -> Json:
        found = [self.masked(database) for database in self.databases.values()]
        return {"data": found, "total": len(found)}

    def get_database_id(self, number: str) -> Json:
        database = self._one(self.databases, number)
        if database["reading"] > 0:
            database["reading"] -= 1
            if not database["reading"]:
                database["initial_sync_status"] = "complete"
        return self.masked(database)

    def masked(self, database: Json) -> Json:
        """A database as it reads back."""
        return {**database, "details": {**database["details"], "password": MASK}}

    def get_database_id_healthcheck(self, number: str) -> Json:
        complaint = self.thrift.complaint(self._one(self.databases, number)["details"])
        return {"status": "error", "message": complaint} if complaint else {"status": "ok"}

    def post_database_validate(self, body: Json) -> Json:
        complaint = self.thrift.complaint(body["details"]["details"])
        return {"valid": False, "message": complaint} if complaint else {"valid": True}

    def post_database(self, body: Json) -> Json:
        if complaint := self.thrift.complaint(body["details"]):
            raise Answer(400, {"message": complaint, "errors": {"host": "check your host settings"}})
        number = self.next_id()
        state: Json = {"initial_sync_status": "incomplete", "reading": self.sync_after, "description": None}
        state["cache_ttl"] = body.get("cache_ttl")
        self.databases[number] = {**body, "id": number, **state}
        return self.masked(self.databases[number])

    def put_database_id(self, number: str, body: Json) -> Json:
        database = self._one(self.databases, number)
        # As versions before did, what is not sent is gone; newer ones keep it.
        details = dict(body.get("details") or database["details"])
        if details["password"] == MASK:
            details["password"] = database["details"]["password"]
        if complaint := self.thrift.complaint(details):
            raise Answer(400, {"message": complaint})
        # Left out, these two are no longer set.
        own = {"is_on_demand": bool(body.get("is_on_demand")), "cache_ttl": body.get("cache_ttl")}
        database |= {**body, **own, "details": details}
        return self.masked(database)

    def post_database_id_sync_schema(self, number: str, _body: Json) -> Json:
        """It begins to read the tables, and keeps the status of the first time until it has."""
        self._one(self.databases, number)["reading"] = self.sync_after
        return {"status": "ok"}

    def get_collection(self) -> list[Json]:
        root = {"id": "root", "name": "Our analytics"}
        return [root, *(c for c in self.collections.values() if not c["archived"])]

    def post_collection(self, body: Json) -> Json:
        number = self.next_id()
        made = {
            "id": number,
            "archived": False,
            "location": "/",
            "slug": "x",
            "description": None,
            "type": None,
        }
        self.collections[number] = {**made, **body}
        return self.collections[number]

    def get_collection_id_items(self, number: str, query: dict[str, list[str]]) -> Json:
        self._one(self.collections, number)
        models = query.get("models", ["card", "dashboard"])
        stored = {"card": self.cards, "dashboard": self.dashboards}
        found = [
            {
                "id": thing["id"],
                "model": model,
                "name": thing["name"],
                "archived": False,
                "entity_id": thing["entity_id"],
                "description": thing["description"],
            }
            for model in models
            for thing in stored[model].values()
            if thing["collection_id"] == int(number) and not thing["archived"]
        ]
        limit, offset = (
            int(query.get(name, [default])[0]) for name, default in (("limit", "50"), ("offset", "0"))
        )
        page = found[offset : offset + limit]
        return {"data": page, "total": len(found), "limit": limit, "offset": offset, "models": models}

    def get_card(self, query: dict[str, list[str]]) -> list[Json]:
        archived = query.get("f", ["all"]) == ["archived"]
        return [deepcopy(card) for card in self.cards.values() if card["archived"] == archived]

    def get_card_id(self, number: str, query: dict[str, list[str]]) -> Json:
        card = deepcopy(self._one(self.cards, number))
        if query.get("legacy-mbql") != ["true"]:
            card["dataset_query"] = mbql5(card["dataset_query"])
        return card

    def post_card(self, body: Json) -> Json:
        if body.get("description") == "":
            raise Answer(400, {"errors": {"description": "value must be a non-blank string."}})
        number = self.next_id()
        made = {
            "id": number,
            "description": None,
            "archived": False,
            "collection_id": None,
            "dashboard_id": None,
            "entity_id": str(uuid.uuid4())[:21],
            "creator_id": 1,
            "type": "question",
            "query_type": "native",
            "database_id": body["dataset_query"]["database"],
            "table_id": None,
            "parameters": [],
        }
        # The id that the contract lets one give is dropped.
        self.cards[number] = {**made, **with_keys(body), "entity_id": made["entity_id"]}
        return self.get_card_id(str(number), {})

    def put_card_id(self, number: str, body: Json) -> Json:
        self._one(self.cards, number).update(with_keys(body))
        return self.get_card_id(number, {})

    def get_dashboard_id(self, number: str) -> Json:
        dashboard = deepcopy(self._one(self.dashboards, number))
        shown = [
            {**placed, "card": deepcopy(self.cards.get(placed["card_id"]))}
            for placed in dashboard["dashcards"]
            if not self._in_trash(placed)
        ]
        return {**dashboard, "dashcards": shown}

    def _in_trash(self, placed: Json) -> bool:
        card = self.cards.get(placed["card_id"])
        return bool(card and card["archived"])

    def post_dashboard(self, body: Json) -> Json:
        number = self.next_id()
        made: Json = {
            "id": number,
            "description": None,
            "archived": False,
            "collection_id": None,
            "creator_id": 1,
            "entity_id": str(uuid.uuid4())[:21],
            "width": "fixed",
            "auto_apply_filters": True,
            "enable_embedding": False,
            "public_uuid": None,
            "cache_ttl": None,
            "parameters": [],
            "dashcards": [],
            "tabs": [],
        }
        self.dashboards[number] = {**made, **body}
        return {
            key: value for key, value in self.dashboards[number].items() if key not in ("dashcards", "tabs")
        }

    def post_dashboard_id_copy(self, number: str, body: Json) -> Json:
        original = deepcopy(self._one(self.dashboards, number))
        copied = self.next_id()
        places = [{**row, "id": self.next_id(), "dashboard_id": copied} for row in original["dashcards"]]
        own = {"id": copied, "entity_id": str(uuid.uuid4())[:21], "dashcards": places}
        self.dashboards[copied] = {**original, **body, **own}
        return self.get_dashboard_id(str(copied))

    def put_dashboard_id(self, number: str, body: Json) -> Json:
        dashboard = self._one(self.dashboards, number)
        body = deepcopy(body)
        if "dashcards" in body:
            tabs = body.pop("tabs", None) or []
            self._replace(dashboard, tabs, body.pop("dashcards"))
        dashboard |= {key: value for key, value in body.items() if value is not None or key == "description"}
        return self.get_dashboard_id(number)

    def _replace(self, dashboard: Json, tabs: list[Json], dashcards: list[Json]) -> None:
        """Cards and tabs as a whole: what is not sent is gone, but for cards in the trash."""
        for rows in (tabs, dashcards):
            if len({row["id"] for row in rows}) < len(rows):
                raise Answer(400, {"errors": {"id": "value must be seq of maps in which ids are unique"}})
        if tabs and any(placed.get("dashboard_tab_id") is None for placed in dashcards):
            raise Answer(400, "This dashboard has tab, makes sure every card has a tab")
        real: dict[int, int] = {}
        kept = {row["id"]: row for row in dashboard["tabs"]}
        new_tabs = []
        for position, tab in enumerate(tabs):
            real[tab["id"]] = tab["id"] if tab["id"] > 0 else self.next_id()
            new_tabs.append(
                {
                    **kept.get(tab["id"], {}),
                    **tab,
                    "id": real[tab["id"]],
                    "position": position,
                    "dashboard_id": dashboard["id"],
                }
            )
        known = {row["id"]: row for row in dashboard["dashcards"]}
        new_cards = []
        for placed in dashcards:
            if placed["id"] > 0 and placed["id"] not in known:
                raise Answer(404, "Not found.")
            if placed["card_id"] is not None and placed["card_id"] not in self.cards:
                raise Answer(404, "Not found.")
            made: Json = {
                "dashboard_id": dashboard["id"],
                "entity_id": str(uuid.uuid4())[:21],
                "parameter_mappings": [],
                "visualization_settings": {},
                "inline_parameters": [],
                "series": [],
                "action_id": None,
            }
            own = {"id": placed["id"] if placed["id"] > 0 else self.next_id()}
            tab_id = placed.get("dashboard_tab_id")
            own["dashboard_tab_id"] = real.get(tab_id) if tab_id is not None else None
            new_cards.append({**made, **known.get(placed["id"], {}), **placed, **own})
        sent = {row["id"] for row in new_cards}
        hidden = [row for row in known.values() if self._in_trash(row) and row["id"] not in sent]
        dashboard |= {"tabs": new_tabs, "dashcards": new_cards + hidden}

    def _one(self, things: dict[int, Json], number: str) -> Json:
        if not number.isdigit() or int(number) not in things:
            raise Answer(404, "Not found.")
        return things[int(number)]

    # What is the same for all requests

    def answer(self, method: str, target: str, headers: Any, body: Any) -> Any:
        """Route a request, judge it, and answer it."""
        url = urlsplit(target)
        self.requests.append((method, url.path, body))
        if self.broken:
            raise Answer(*self.broken.pop(0))
        route, words = route_of(url.path)
        if route not in ("/api/session/properties", "/api/setup") and (method, route) != (
            "POST",
            "/api/session",
        ):
            self._authenticate(headers)
        if (method, route) == ("DELETE", "/api/session"):
            self.sessions.discard(headers["X-Metabase-Session"])
            return None
        name = f"{method.lower()}_{route.removeprefix('/api/').replace('/', '_').replace(':', '')}"
        handler: Callable[..., Any] | None = getattr(self, name.replace("setting_id", "setting"), None)
        if handler is None:
            raise Answer(404, "API endpoint does not exist.")
        arguments: list[Any] = words
        if method in ("POST", "PUT"):
            check_keys(f"{method} {route}", body)
            arguments = [*words, body]
        elif "query" in handler.__code__.co_varnames[: handler.__code__.co_argcount]:
            arguments = [*words, parse_qs(url.query)]
        return handler(*arguments)

    def _authenticate(self, headers: Any) -> None:
        if (
            headers.get("X-Metabase-Session") not in self.sessions
            and headers.get("X-Api-Key") != self.api_key
        ):
            raise Answer(401, "Unauthenticated")


def route_of(path: str) -> tuple[str, list[str]]:
    """A path with its ids replaced, and these: the third part, unless it is a word of the API's own."""
    parts = path.strip("/").split("/")
    own = {"properties", "current", "validate"}
    if len(parts) > 2 and parts[2] not in own:
        return "/" + "/".join([*parts[:2], ":id", *parts[3:]]), [parts[2]]
    return "/" + "/".join(parts), []


def check_keys(where: str, body: Any) -> None:
    """Refuse a body whose keys are not exactly those that the vendor declares."""
    rows = body if isinstance(body, list) else [body]
    words = DECLARED[where].split()
    for row in rows:
        undeclared = row.keys() - {word.rstrip("*") for word in words}
        missing = {word[:-1] for word in words if word.endswith("*")} - row.keys()
        if undeclared or missing:
            raise Answer(400, f"{where}: undeclared {sorted(undeclared)}, missing {sorted(missing)}")
        for key, value in row.items():
            if value and f"{where} {key}" in DECLARED:
                check_keys(f"{where} {key}", value)


def with_keys(body: Json) -> Json:
    """A card's body as it is stored: the keys of column_settings are JSON, and are written anew."""
    settings = body.get("visualization_settings") or {}
    if "column_settings" not in settings:
        return body
    columns = {
        json.dumps(json.loads(key), separators=(",", ":"), ensure_ascii=False): value
        for key, value in settings["column_settings"].items()
    }
    return {**body, "visualization_settings": {**settings, "column_settings": columns}}


def mbql5(query: Json) -> Json:
    """A query as Metabase gives it back since version 57."""
    native = query["native"]
    tags = native.get("template-tags", {})
    stage = {"lib/type": "mbql.stage/native", "native": native["query"], "template-tags": tags}
    return {"lib/type": "mbql/query", "database": query["database"], "stages": [stage]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    metabase: MetabaseStandIn

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        status, body = 200, None
        try:
            sent = json.loads(content) if content else None
            body = self.metabase.answer(self.command, self.path, self.headers, sent)
        except Answer as answer:
            status, body = answer.status, answer.body
        text = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status if text or status != 200 else 204)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(metabase: MetabaseStandIn) -> Iterator[str]:
    """Serve it on a free port; its address."""
    handler = type("Handler", (_Handler,), {"metabase": metabase})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
