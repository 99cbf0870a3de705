# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``metabase_dashboard`` module does, without Ansible.

What Metabase has is read into the shape of the definition, restricted to what is declared. Where both are
the same, nothing is sent; where not, what differs is written, and all that people added is sent back as it
was, since Metabase replaces the cards, tabs and parameters of a dashboard as a whole.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import cached_property
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    Metabase,
    MetabaseError,
    database_named,
    only,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import (
    VARIABLES,
    Card,
    Definition,
    Parameter,
    required,
)

# What a dashboard's card is written with.
PLACED = (
    "id", "card_id", "action_id", "dashboard_tab_id", "row", "col", "size_x", "size_y",
    "parameter_mappings", "visualization_settings", "inline_parameters",
)  # fmt: skip
# A title that somebody gave the card on this dashboard alone.
TITLE = "card.title"
# The setting of a card that tells what it was made for: Metabase (as of 0.60) takes no id of one's own.
MARK = "cdc.lakehouse.made_for"
# The one that names the dashboard of its definition.
OWNER = "cdc.lakehouse.dashboard"
# The setting of a card's place that tells for which dashboard it was put there.
PLACED_FOR = "cdc.lakehouse.placed_for"
State = dict[str, Any]


def mark(collection: str, name: str, number: int) -> str:
    """What a card or a dashboard is known by when somebody renamed or moved it; a copy has another id."""
    return hashlib.sha256(f"{collection}\n{name}\n{number}".encode()).hexdigest()[:16]


def covered(found: Any, declared: Any) -> Any:
    """Of what was found, the part that is declared: other keys of a mapping are none of our business."""
    if isinstance(found, dict) and isinstance(declared, dict):
        return {key: covered(found[key], value) for key, value in declared.items() if key in found}
    return found


def merged(found: Any, declared: Any) -> Any:
    """What was found, with what is declared in its place."""
    if isinstance(found, dict) and isinstance(declared, dict):
        return {**found, **{key: merged(found.get(key), value) for key, value in declared.items()}}
    return declared


class Target:
    """The place in Metabase where a dashboard goes, and what is there already."""

    def __init__(self, client: Metabase, definition: Definition, collection: str, database: str) -> None:
        """Read all that concerns the dashboard.

        Raises:
            MetabaseError: A name is not clear.
        """
        self.client = client
        self.definition = definition
        self.collection_name = collection
        self.database_name = database
        self.database_id = self._database()
        self.collection_id = self._collection()
        self.items = (
            list(client.pages(f"/api/collection/{self.collection_id}/items", models=["card", "dashboard"]))
            if self.collection_id
            else []
        )
        self.cards = {
            card.name: found for card in definition.cards if (found := self._card(card.name)) is not None
        }
        self.dashboard = self._dashboard()
        for name, card in self.cards.items():
            self._check_owner(name, card)

    def _database(self) -> int | None:
        found = database_named(self.client, self.database_name)
        return int(found["id"]) if found else None

    def _collection(self) -> int | None:
        collections = [row for row in self.client.get("/api/collection") if row["id"] != "root"]
        found = only(
            [
                collection
                for collection in collections
                if collection["name"] == self.collection_name and collection.get("location") in (None, "/")
            ],
            f"the collection {self.collection_name}",
        )
        if not found:
            self._check_elsewhere(collections)
        return int(found["id"]) if found else None

    def _check_elsewhere(self, collections: list[dict[str, Any]]) -> None:
        """Refuse to make all anew, and to take the cards away, where the collection only has another name."""
        homes = {card["collection_id"] for card in self._all if self._made_for(card["name"], card)}
        for collection in collections:
            path = f"/api/collection/{collection['id']}/items"
            if collection["id"] in homes and any(
                self._is_of(item["name"], self.client.get(f"/api/dashboard/{item['id']}"))
                for item in self.client.pages(path, models=["dashboard"])
            ):
                raise MetabaseError(
                    f"Metabase has no collection {self.collection_name} at the top, and {collection['name']} "
                    f"(id {collection['id']}) has the dashboards that were made in it. Give that collection "
                    "back its name and its place, or take the dashboards out of it."
                )

    def _named(self, model: str, name: str) -> list[dict[str, Any]]:
        return [item for item in self.items if item["model"] == model and item["name"] == name]

    def _card(self, name: str) -> dict[str, Any] | None:
        """The card that was made for the definition, whatever it is called now; else one of that name."""
        named = {item["id"]: self._read(item["id"]) for item in self._named("card", name)}
        if not any(self._made_for(name, card) for card in named.values()):
            named |= {card["id"]: self._read(card["id"]) for card in self._all if self._made_for(name, card)}
        found: State | None = only(
            list(named.values()), f"the card {name} for the collection {self.collection_name}"
        )
        return found

    def _read(self, number: int) -> dict[str, Any]:
        return dict(self.client.get(f"/api/card/{number}", legacy_mbql=True))

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        """Every card that there is, the trash included; asked for only where one is not where it was."""
        return [card for which in ("all", "archived") for card in self.client.get("/api/card", f=which)]

    def _made_for(self, name: str, card: dict[str, Any]) -> bool:
        found = (card["visualization_settings"] or {}).get(MARK)
        return bool(found == mark(self.collection_name, name, card["id"]))

    def _dashboard(self) -> dict[str, Any] | None:
        """The dashboard of the name; else the one that was made for it and that somebody renamed."""
        name = self.definition.name
        found = only(
            self._named("dashboard", name), f"the dashboard {name} in the collection {self.collection_name}"
        )
        if found:
            return dict(self.client.get(f"/api/dashboard/{found['id']}"))
        renamed = [dashboard for dashboard in self._dashboards if self._is_of(name, dashboard)]
        known: State | None = only(renamed, f"the dashboard {name}, under other names,")
        return known

    @cached_property
    def _dashboards(self) -> list[dict[str, Any]]:
        """Every dashboard of the collection; asked for only where one is not what it was."""
        numbers = [item["id"] for item in self.items if item["model"] == "dashboard"]
        return [dict(self.client.get(f"/api/dashboard/{number}")) for number in numbers]

    def _is_of(self, name: str, dashboard: dict[str, Any]) -> bool:
        """Whether the dashboard was made for the definition of that name, whatever it is called now."""
        wanted = mark(self.collection_name, name, dashboard["id"])
        return any(
            (placed.get("visualization_settings") or {}).get(PLACED_FOR) == wanted
            for placed in dashboard["dashcards"]
        )

    def _check_owner(self, name: str, card: dict[str, Any]) -> None:
        """Refuse a card that another definition keeps: the two would change it in turns, for ever."""
        owner = (card["visualization_settings"] or {}).get(OWNER)
        if owner in (None, self.definition.name) or not self._made_for(name, card):
            return
        ours = self.dashboard["id"] if self.dashboard else None
        if any(d["id"] != ours and (d["name"] == owner or self._is_of(owner, d)) for d in self._dashboards):
            raise MetabaseError(
                f"The card {name} belongs to the dashboard {owner}, and {self.definition.name} declares "
                f"one of that name, too. Give it another name. Where {owner} is only the former name of the "
                "definition, rename the dashboard in Metabase first."
            )

    # What is there, in the words of the definition

    def before(self) -> State:
        """What Metabase has of what is declared."""
        return {
            "collection": self.collection_name if self.collection_id else None,
            "cards": {name: self._card_before(name) for name in self.cards},
            **self._dashboard_state(),
        }

    def _dashboard_state(self) -> State:
        return {
            "dashboard": self._dashboard_before(),
            "layout": {name: place for name in self.cards if (place := self._place_before(name)) is not None},
        }

    def after(self) -> State:
        """What the definition declares."""
        definition = self.definition
        dashboard: State = {"name": definition.name}
        if definition.description is not None:
            dashboard["description"] = definition.description
        if definition.parameters:
            dashboard["parameters"] = [self._parameter_after(p) for p in definition.parameters]
        if definition.tabs:
            dashboard["tabs"] = list(definition.tabs)
        return {
            "collection": self.collection_name,
            "dashboard": dashboard,
            "cards": {card.name: self._card_after(card) for card in definition.cards},
            "layout": {card.name: self._place_after(card) for card in definition.cards},
        }

    def _dashboard_before(self) -> State | None:
        if not self.dashboard:
            return None
        found: State = {"name": self.dashboard["name"]}
        if self.definition.description is not None:
            found["description"] = self.dashboard["description"]
        if self.definition.parameters:
            ours = {self._parameter_id(p.slug): self._parameter_after(p) for p in self.definition.parameters}
            found["parameters"] = [
                covered(p, ours[p["id"]]) for p in self.dashboard["parameters"] or [] if p["id"] in ours
            ]
        if self.definition.tabs:
            declared = self._declared_tabs().values()
            found["tabs"] = [tab["name"] for tab in self._tabs() if tab["id"] in declared]
        return found

    def _parameter_after(self, parameter: Parameter) -> State:
        found: State = {"name": parameter.name, "slug": parameter.slug, "type": parameter.type}
        if parameter.default is not None:
            # Such a filter takes several values.
            several = parameter.type.endswith("/=") and not isinstance(parameter.default, list)
            found["default"] = [parameter.default] if several else parameter.default
        if parameter.values:
            found |= {
                "values_query_type": "list",
                "values_source_type": "static-list",
                "values_source_config": {"values": parameter.values},
            }
        return found

    def _card_before(self, name: str) -> State:
        card, declared = self.cards[name], self._card_after(self._declared(name))
        query = card["dataset_query"] or {}
        native = query.get("native") or {}
        tags = native.get("template-tags") or {}
        found: State = {
            "name": card["name"],
            "description": card["description"],
            "display": card["display"],
            "sql": str(native.get("query") or "").strip(),
            "database": self.database_name
            if query.get("database") == self.database_id
            else query.get("database"),
            "variables": {
                tag: covered(tags[tag], declared["variables"][tag])
                for tag in declared["variables"]
                if tag in tags
            },
            "settings": covered(card["visualization_settings"] or {}, declared["settings"]),
            "archived": card["archived"],
            "collection": self.collection_name
            if card["archived"] or card["collection_id"] == self.collection_id
            else card["collection_id"],
        }
        return {key: found[key] for key in declared}

    def _card_after(self, card: Card) -> State:
        wanted: State = {
            "name": card.name,
            "display": card.display,
            "sql": card.sql,
            "database": self.database_name,
            "variables": {slug: self._variable(card, slug) for slug in sorted(card.variables)},
            "settings": self._settings(card),
            "archived": False,
            "collection": self.collection_name,
        }
        if card.description is not None:
            wanted["description"] = card.description
        return wanted

    def _settings(self, card: Card) -> State:
        found = self.cards.get(card.name)
        if not found:
            return dict(card.settings)
        made_for = mark(self.collection_name, card.name, found["id"])
        return {**card.settings, MARK: made_for, OWNER: self.definition.name}

    def _variable(self, card: Card, slug: str) -> State:
        parameter = next(p for p in self.definition.parameters if p.slug == slug)
        wanted: State = {"name": slug, "display-name": parameter.name, "type": VARIABLES[parameter.type]}
        if slug in card.required:
            wanted |= {"required": True, "default": parameter.default}
        return wanted

    def _place_before(self, name: str) -> State | None:
        placed = self._placed(name)
        if not placed:
            return None
        declared = self._place_after(self._declared(name))
        tabs: dict[int | None, str] = {number: tab for tab, number in self._declared_tabs().items()}
        slugs = {self._parameter_id(slug): slug for slug in declared["filters"]}
        found = {
            "row": placed["row"],
            "col": placed["col"],
            "width": placed["size_x"],
            "height": placed["size_y"],
            "filters": sorted(
                slugs[m["parameter_id"]]
                for m in placed.get("parameter_mappings") or []
                if m["parameter_id"] in slugs and m["target"] == _target(slugs[m["parameter_id"]])
            ),
            "title": (placed.get("visualization_settings") or {}).get(TITLE),
            "tab": tabs.get(placed.get("dashboard_tab_id")),
            "placed_for": (placed.get("visualization_settings") or {}).get(PLACED_FOR),
        }
        return {key: found[key] for key in declared}

    def _place_after(self, card: Card) -> State:
        wanted: State = {
            "row": card.row,
            "col": card.col,
            "width": card.width,
            "height": card.height,
            "filters": sorted(card.variables),
            "title": None,
        }
        if card.tab:
            wanted["tab"] = card.tab
        if self.dashboard:
            wanted["placed_for"] = self._placed_for()
        return wanted

    def _placed_for(self) -> str:
        return mark(self.collection_name, self.definition.name, (self.dashboard or {})["id"])

    def _declared(self, name: str) -> Card:
        return next(card for card in self.definition.cards if card.name == name)

    def _tabs(self) -> list[dict[str, Any]]:
        return sorted((self.dashboard or {}).get("tabs") or [], key=lambda tab: tab.get("position") or 0)

    def _declared_tabs(self) -> dict[str, int]:
        """The tabs that are declared and there; of several with a name, the first.

        One that somebody renamed is known by its cards: it is the only one that is not declared and has cards
        that are declared for the missing one.
        """
        found: dict[str, int] = {}
        others = {tab["id"] for tab in self._tabs() if tab["name"] not in self.definition.tabs}
        for tab in self._tabs():
            if tab["name"] in self.definition.tabs:
                found.setdefault(tab["name"], tab["id"])
        for name in self.definition.tabs:
            cards = [self._placed(card.name) for card in self.definition.cards if card.tab == name]
            renamed = others & {placed.get("dashboard_tab_id") for placed in cards if placed}
            if name not in found and len(renamed) == 1:
                found[name] = renamed.pop()
                others.remove(found[name])
        return found

    def _placed(self, name: str) -> dict[str, Any] | None:
        """The card on the dashboard; where somebody added it a second time, the first."""
        card = self.cards.get(name)
        placed = [
            p for p in (self.dashboard or {}).get("dashcards") or [] if card and p["card_id"] == card["id"]
        ]
        return min(placed, key=lambda p: int(p["id"])) if placed else None

    def others(self) -> list[str]:
        """Cards on the dashboard that are not declared."""
        ours = {placed["id"] for name in self.cards if (placed := self._placed(name))}
        return sorted(
            str((placed.get("card") or {}).get("name") or "text")
            for placed in (self.dashboard or {}).get("dashcards") or []
            if placed["id"] not in ours
        )

    # What is written

    def apply(self, before: State, after: State) -> None:
        """Write what differs: first the cards, since the dashboard refers to them."""
        if not self.collection_id:
            self.collection_id = self.client.post("/api/collection", {"name": self.collection_name})["id"]
        for card in self.definition.cards:
            if before["cards"].get(card.name) != after["cards"][card.name]:
                self.cards[card.name] = self._write_card(
                    card, before["cards"].get(card.name), after["cards"][card.name]
                )
        if not self.dashboard:
            body = {"name": self.definition.name, "collection_id": self.collection_id}
            self.dashboard = self.client.post("/api/dashboard", body)
        # Meanwhile somebody may have added something, and a card that was in the trash shows again.
        self.dashboard = self.client.get(f"/api/dashboard/{self.dashboard['id']}")
        before = {**before, **self._dashboard_state()}
        body = {}
        if before["dashboard"] != after["dashboard"]:
            body = {"name": self.definition.name, "parameters": self._parameters_body()}
            if self.definition.description is not None:
                body["description"] = self.definition.description
        # Metabase takes the tabs away where cards come without them.
        if before["layout"] != after["layout"] or before["dashboard"].get("tabs") != after["dashboard"].get(
            "tabs"
        ):
            body |= {"tabs": self._tabs_body(), "dashcards": self._dashcards_body()}
        if body:
            self.dashboard = self.client.put(f"/api/dashboard/{self.dashboard['id']}", body)

    def _write_card(self, card: Card, before: State | None, after: State) -> dict[str, Any]:
        found = self.cards.get(card.name)
        body: State = {
            "name": card.name,
            "display": card.display,
            "visualization_settings": merged(
                (found or {}).get("visualization_settings"), self._settings(card)
            ),
            "collection_id": self.collection_id,
        }
        if not before or any(before[key] != after[key] for key in ("sql", "database", "variables")):
            body["dataset_query"] = self._query_body(card, found)
        if card.description is not None:
            body["description"] = card.description
        if not found:
            made = self.cards[card.name] = self.client.post("/api/card", {**body, "type": "question"})
            return dict(
                self.client.put(f"/api/card/{made['id']}", {"visualization_settings": self._settings(card)})
            )
        return dict(self.client.put(f"/api/card/{found['id']}", {**body, "archived": False}))

    def _query_body(self, card: Card, found: dict[str, Any] | None) -> State:
        known = ((found or {}).get("dataset_query") or {}).get("native") or {}
        # What a variable has only because the SQL could not do without it.
        optional = required(str(known.get("query") or "")) - card.required
        tags = {}
        for slug in sorted(card.variables):
            kept = dict((known.get("template-tags") or {}).get(slug, {}))
            if slug in optional:
                kept = {key: value for key, value in kept.items() if key not in ("required", "default")}
            made = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, slug))}
            tags[slug] = {**made, **kept, **self._variable(card, slug)}
        native = {"query": card.sql, "template-tags": tags}
        return {"type": "native", "database": self.database_id, "native": native}

    def _parameter(self, slug: str) -> State | None:
        """The filter, which Metabase gives another slug when somebody renames it; else one of that slug."""
        found = (self.dashboard or {}).get("parameters") or []
        others = {_made_id(p.slug) for p in self.definition.parameters} - {_made_id(slug)}
        known = [p for p in found if p["id"] == _made_id(slug)]
        known += [p for p in found if p.get("slug") == slug and p["id"] not in others]
        return known[0] if known else None

    def _parameter_id(self, slug: str) -> str:
        return str((self._parameter(slug) or {"id": _made_id(slug)})["id"])

    def _parameters_body(self) -> list[State]:
        ours = [
            {
                "sectionId": p.type.partition("/")[0],
                **(self._parameter(p.slug) or {}),
                "id": self._parameter_id(p.slug),
                **self._parameter_after(p),
            }
            for p in self.definition.parameters
        ]
        return _in_place((self.dashboard or {}).get("parameters") or [], ours)

    def _tabs_body(self) -> list[State]:
        """All tabs, the declared ones in their order."""
        found = [{"id": tab["id"], "name": tab["name"]} for tab in self._tabs()]
        return _in_place(found, [{"id": number, "name": name} for name, number in self._tab_ids().items()])

    def _tab_ids(self) -> dict[str, int]:
        """The ids of the declared tabs; a new one has a negative one."""
        known = self._declared_tabs()
        return {name: known.get(name, -number) for number, name in enumerate(self.definition.tabs, 1)}

    def _dashcards_body(self) -> list[State]:
        tabs = self._tabs_body()
        first = tabs[0]["id"] if tabs else None
        ids = self._tab_ids()
        ours: dict[int, State] = {}
        for number, card in enumerate(self.definition.cards, 1):
            placed = self._placed(card.name)
            body = self._dashcard_body(
                card, _writable(placed) if placed else {"id": -number, "dashboard_tab_id": first}
            )
            if card.tab:
                body["dashboard_tab_id"] = ids[card.tab]
            ours[body["id"]] = body
        others = [
            {**_writable(placed), "dashboard_tab_id": placed.get("dashboard_tab_id") or first}
            for placed in (self.dashboard or {})["dashcards"]
            if placed["id"] not in ours
        ]
        return [*ours.values(), *others]

    def _dashcard_body(self, card: Card, placed: State) -> State:
        made = self.cards[card.name]
        filters = {self._parameter_id(slug): slug for slug in card.variables}
        settings = placed.get("visualization_settings") or {}
        return {
            **placed,
            "card_id": made["id"],
            "row": card.row,
            "col": card.col,
            "size_x": card.width,
            "size_y": card.height,
            "visualization_settings": {
                **{key: value for key, value in settings.items() if key != TITLE},
                PLACED_FOR: self._placed_for(),
            },
            "parameter_mappings": [
                {"parameter_id": parameter, "card_id": made["id"], "target": _target(slug)}
                for parameter, slug in sorted(filters.items())
            ]
            + [m for m in placed.get("parameter_mappings") or [] if m["parameter_id"] not in filters],
        }


def _made_id(slug: str) -> str:
    """The id that a filter is made with."""
    return hashlib.sha256(slug.encode()).hexdigest()[:8]


def _in_place(found: list[State], ours: list[State]) -> list[State]:
    """What was found, with ours where they were, but in their own order; new ones come last."""
    ids = {row["id"] for row in ours}
    rest = iter(ours)
    return [next(rest) if row["id"] in ids else row for row in found] + list(rest)


def _target(slug: str) -> list[Any]:
    return ["variable", ["template-tag", slug]]


def _writable(placed: dict[str, Any]) -> State:
    """A dashboard's card as it is, in the keys that Metabase takes back."""
    body = {key: placed[key] for key in PLACED if placed.get(key) is not None or key == "card_id"}
    if placed.get("series"):
        body["series"] = [{"id": series["id"]} for series in placed["series"]]
    return body


def bring(
    client: Metabase, definition: Definition, collection: str, database: str, *, check: bool = False
) -> State:
    """Bring a dashboard to what its definition says; with ``check`` only say what would be done.

    Returns:
        The module's result: C(changed), C(diff), C(dashboard_id), C(url), C(others), C(warnings).

    Raises:
        MetabaseError: It cannot be done; what was written before is finished by the next run.
    """
    if check and not client.is_set_up():
        # A task before may do it in the run that follows; a login now would count as one that failed.
        return {
            "changed": True,
            "dashboard_id": None,
            "url": None,
            "others": [],
            "warnings": [f"Metabase at {client.url} is yet to be set up, by metabase_setup."],
            "diff": {"before": {}, "after": {"name": definition.name}},
        }
    target = Target(client, definition, collection, database)
    missing = f"Metabase has no database {database} to ask. Make it with metabase_database, or name another."
    if not target.database_id and not check:
        raise MetabaseError(missing)
    before, after = target.before(), target.after()
    changed = before != after
    if changed and not check:
        target.apply(before, after)
    dashboard = target.dashboard
    return {
        "changed": changed,
        "dashboard_id": dashboard["id"] if dashboard else None,
        "url": _url(client, definition, dashboard["id"]) if dashboard else None,
        "others": target.others(),
        # A task before may make it in the run that follows.
        "warnings": [] if target.database_id else [missing],
        "diff": {
            "before": before,
            "after": after,
            "before_header": definition.name,
            "after_header": definition.name,
        },
    }


def _url(client: Metabase, definition: Definition, dashboard: int) -> str:
    """The address for people, as Metabase knows its own; with the interval in which the page asks again."""
    site = str(client.properties().get("site-url") or client.url).rstrip("/")
    return f"{site}/dashboard/{dashboard}" + (f"#refresh={definition.refresh}" if definition.refresh else "")
