"""The modules of Metabase, run as Ansible runs them, against the stand-in."""

from __future__ import annotations

import copy
import importlib
import json
import socket
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cdc.lakehouse.plugins.module_utils import metabase as client
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import parse

from tests.metabase_standin import ATTEMPTS, MASK, MetabaseStandIn, serving

EMAIL, PASSWORD = "admin@example.com", "Quite-long-Pa55word"
LOGIN = {"login_user": EMAIL, "login_password": PASSWORD}
ORDERS: dict[str, Any] = {
    "name": "Orders",
    "description": "Is the shop taking orders?",
    "refresh": 60,
    "parameters": [
        {"slug": "since", "name": "Since", "type": "date/single"},
        {"slug": "minutes", "name": "Minutes", "type": "number/=", "default": 60},
    ],
    "tabs": ["Overview", "Details"],
    "cards": [
        {
            "name": "Orders per minute",
            "description": "Newest last.",
            "display": "line",
            "sql": "select minute, orders from gold.orders_per_minute where minute > {{minutes}}\n"
            "[[and minute >= {{since}}]]\n",
            "settings": {
                "graph.dimensions": ["minute"],
                "column_settings": {'["name", "größe"]': {"suffix": "x"}},
            },
            "tab": "Overview",
            "at": {"row": 0, "col": 0, "width": 16, "height": 6},
        },
        {
            "name": "Orders today",
            "display": "scalar",
            "sql": "select count(*) from gold.kpis",
            "tab": "Details",
            "at": {"row": 0, "col": 0, "width": 8, "height": 4},
        },
    ],
}


class Site:
    """A stand-in and the way to run modules on it."""

    def __init__(self, metabase: MetabaseStandIn, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.metabase = metabase
        self.url = url
        self._capsys = capsys

    def run(self, module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """A module's result, whether it failed or not."""
        given = {name: value for name, value in options.items() if value is not None}
        arguments = {"url": self.url, "_ansible_check_mode": check, "_ansible_diff": True, **given}
        loaded = importlib.import_module(f"ansible_collections.cdc.lakehouse.plugins.modules.{module}")
        with patch_module_args(arguments), pytest.raises(SystemExit):
            loaded.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        result.pop("invocation", None)
        return result

    def set_up(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        settings = {
            "site-name": "Lakehouse",
            "site-url": "http://node3:3000/",
            "anon-tracking-enabled": False,
        }
        wanted = {"email": EMAIL, "password": PASSWORD, "settings": settings, **options}
        return self.run("metabase_setup", check=check, **wanted)

    def connect(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        details = {
            "name": "Lakehouse",
            "host": "node2",
            "dbname": "gold",
            "user": "bi",
            "password": "bi-password",
        }
        return self.run("metabase_database", check=check, **{**LOGIN, **details, **options})

    def dashboard(
        self, definition: dict[str, Any] = ORDERS, *, check: bool = False, **options: Any
    ) -> dict[str, Any]:
        where = {"database": "Lakehouse", "collection": "Lakehouse", "definition": definition}
        return self.run("metabase_dashboard", check=check, **{**LOGIN, **where, **options})


@pytest.fixture
def site(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A fresh Metabase."""
    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    metabase = MetabaseStandIn()
    with serving(metabase) as url:
        yield Site(metabase, url, capsys)
    assert not metabase.sessions, "a session was left behind"


@pytest.fixture
def ready(site: Site) -> Site:
    """A Metabase with its first user and the database."""
    assert site.set_up()["changed"]
    assert site.connect()["changed"]
    site.metabase.requests.clear()
    return site


def placed(site: Site, name: str) -> dict[str, Any]:
    """A card of the one dashboard by its name, with where it is."""
    (dashboard,) = site.metabase.dashboards.values()
    cards = site.metabase.cards
    return next(
        row for row in dashboard["dashcards"] if row["card_id"] and cards[row["card_id"]]["name"] == name
    )


def card(site: Site, name: str) -> dict[str, Any]:
    return next(row for row in site.metabase.cards.values() if row["name"] == name)


# Four steps: check mode, nothing changed, apply, apply again


def test_set_up(site: Site) -> None:
    announced = site.set_up(check=True)
    assert announced["changed"] and announced["set_up"]
    assert not site.metabase.writes and not site.metabase.users

    done = site.set_up()
    assert done["changed"] and done["set_up"]
    assert site.metabase.users == {EMAIL: PASSWORD}
    assert site.metabase.settings["site-name"] == "Lakehouse"
    assert site.metabase.settings["anon-tracking-enabled"] is False, "setting up switches it on"

    site.metabase.requests.clear()
    again = site.set_up()
    assert not again["changed"] and not again["set_up"]
    assert not site.metabase.writes


def test_a_database(site: Site) -> None:
    site.set_up()
    site.metabase.requests.clear()
    announced = site.connect(check=True)
    assert announced["changed"] and announced["database_id"] is None
    assert not site.metabase.writes

    done = site.connect()
    assert done["changed"]
    assert announced["diff"] == done["diff"]
    (database,) = site.metabase.databases.values()
    assert database["details"] == {
        "host": "node2",
        "port": 10000,
        "dbname": "gold",
        "user": "bi",
        "password": "bi-password",
    }
    assert database["initial_sync_status"] == "complete", "the sync is awaited"

    site.metabase.requests.clear()
    assert not site.connect()["changed"]
    assert not site.metabase.writes


def test_a_dashboard(ready: Site) -> None:
    announced = ready.dashboard(check=True)
    assert announced["changed"] and announced["url"] is None
    assert not ready.metabase.writes

    done = ready.dashboard()
    assert done["changed"]
    assert announced["diff"] == done["diff"]
    (number,) = ready.metabase.dashboards
    assert done["url"] == f"http://node3:3000/dashboard/{number}#refresh=60"
    first, second = placed(ready, "Orders per minute"), placed(ready, "Orders today")
    assert (first["row"], first["col"], first["size_x"], first["size_y"]) == (0, 0, 16, 6)
    tabs = {tab["id"]: tab["name"] for tab in ready.metabase.dashboards[number]["tabs"]}
    assert (tabs[first["dashboard_tab_id"]], tabs[second["dashboard_tab_id"]]) == ("Overview", "Details")
    ids = {p["slug"]: p["id"] for p in ready.metabase.dashboards[number]["parameters"]}
    assert {(m["parameter_id"], m["target"][1][1]) for m in first["parameter_mappings"]} == {
        (ids["since"], "since"),
        (ids["minutes"], "minutes"),
    }
    assert not second["parameter_mappings"]
    native = card(ready, "Orders per minute")["dataset_query"]["native"]
    assert native["query"].endswith("{{since}}]]")
    assert (
        native["template-tags"]["minutes"].items()
        >= {"type": "number", "required": True, "default": 60}.items()
    )
    assert "required" not in native["template-tags"]["since"], "its clause is optional"

    ready.metabase.requests.clear()
    again = ready.dashboard()
    assert not again["changed"] and again["url"] == done["url"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert not ready.metabase.writes


def test_a_key_of_the_api_will_do(ready: Site) -> None:
    assert ready.dashboard(login_user=None, login_password=None, api_key=ready.metabase.api_key)["changed"]
    assert "/api/session" not in {path for _, path, _ in ready.metabase.requests}


# What people do


def drift_title(site: Site) -> None:
    card(site, "Orders today")["name"] = "What somebody calls it"


def drift_title_on_the_dashboard(site: Site) -> None:
    placed(site, "Orders today")["visualization_settings"]["card.title"] = "Mine"


def drift_dashboard(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["name"] = "My dashboard"


def drift_description(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["description"] = None


def drift_sql(site: Site) -> None:
    card(site, "Orders today")["dataset_query"]["native"]["query"] = "select 42"


def drift_display(site: Site) -> None:
    card(site, "Orders today")["display"] = "table"


def drift_settings(site: Site) -> None:
    card(site, "Orders per minute")["visualization_settings"]["column_settings"] = {}


def drift_variable(site: Site) -> None:
    card(site, "Orders per minute")["dataset_query"]["native"]["template-tags"]["since"]["type"] = "text"


def drift_place(site: Site) -> None:
    placed(site, "Orders today")["row"] = 9


def drift_tab(site: Site) -> None:
    placed(site, "Orders today")["dashboard_tab_id"] = placed(site, "Orders per minute")["dashboard_tab_id"]


def drift_filter(site: Site) -> None:
    placed(site, "Orders per minute")["parameter_mappings"] = []


def drift_parameter(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["parameters"][1]["default"] = [5]


def drift_taken_off(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["dashcards"].remove(placed(site, "Orders today"))


def drift_trash(site: Site) -> None:
    card(site, "Orders today")["archived"] = True


def drift_moved(site: Site) -> None:
    other = site.metabase.post_collection({"name": "Elsewhere"})
    card(site, "Orders today")["collection_id"] = other["id"]


def drift_filter_name(site: Site) -> None:
    """Metabase makes the slug of the name."""
    filters = next(iter(site.metabase.dashboards.values()))["parameters"]
    filters[0] |= {"name": "From when on", "slug": "from_when_on"}


def drift_filter_with_the_slug_of_another(site: Site) -> None:
    filters = next(iter(site.metabase.dashboards.values()))["parameters"]
    filters.pop()
    filters[0] |= {"name": "Minutes", "slug": "minutes"}


def drift_order_of_tabs(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["tabs"].reverse()
    for position, tab in enumerate(next(iter(site.metabase.dashboards.values()))["tabs"]):
        tab["position"] = position


def drift_order_of_filters(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["parameters"].reverse()


def drift_tab_name(site: Site) -> None:
    next(iter(site.metabase.dashboards.values()))["tabs"][1]["name"] = "More"


def drift_all_tab_names(site: Site) -> None:
    for tab in next(iter(site.metabase.dashboards.values()))["tabs"]:
        tab["name"] += " of mine"


def drift_tab_of_the_same_name(site: Site) -> None:
    """Moved to a tab that only has the name."""
    dashboard = next(iter(site.metabase.dashboards.values()))
    tab = {"id": site.metabase.next_id(), "name": "Overview", "position": 2, "dashboard_id": dashboard["id"]}
    dashboard["tabs"].append(tab)
    placed(site, "Orders per minute")["dashboard_tab_id"] = tab["id"]


DRIFTS = [value for name, value in list(globals().items()) if name.startswith("drift_")]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_what_was_changed_by_hand_is_found_and_mended(ready: Site, drift: Any) -> None:
    ready.dashboard()
    cards, dashboards = copy.deepcopy(ready.metabase.cards), copy.deepcopy(ready.metabase.dashboards)
    drift(ready)
    tabs = [[tab["id"] for tab in dashboard["tabs"]] for dashboard in ready.metabase.dashboards.values()]
    ready.metabase.requests.clear()

    announced = ready.dashboard(check=True)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert not ready.metabase.writes

    assert ready.dashboard()["changed"]
    assert ready.metabase.cards == cards
    now = [[tab["id"] for tab in dashboard["tabs"]] for dashboard in ready.metabase.dashboards.values()]
    assert [sorted(ids) for ids in now] == [sorted(ids) for ids in tabs], "no tab that somebody made is lost"
    for number, dashboard in ready.metabase.dashboards.items():
        assert without_ids(dashboard) == without_ids(dashboards[number])
    assert not ready.dashboard()["changed"]


def without_ids(dashboard: dict[str, Any]) -> dict[str, Any]:
    """A dashboard whose cards may have been put there anew."""
    rows = [{k: v for k, v in row.items() if k not in ("id", "entity_id")} for row in dashboard["dashcards"]]
    return {
        **dashboard,
        "dashcards": sorted(rows, key=lambda row: int(row["card_id"])),
        "tabs": dashboard["tabs"][:2],
    }


def test_a_copy_that_somebody_made_of_a_card_stays_theirs(ready: Site) -> None:
    ready.dashboard()
    original = card(ready, "Orders today")
    number = ready.metabase.next_id()
    ready.metabase.cards[number] = {**copy.deepcopy(original), "id": number, "name": "Mine", "display": "pie"}
    assert not ready.dashboard()["changed"]
    original["name"] = "What somebody calls it"
    assert ready.dashboard()["changed"]
    assert original["name"] == "Orders today"
    assert (ready.metabase.cards[number]["name"], ready.metabase.cards[number]["display"]) == ("Mine", "pie")


@pytest.mark.parametrize("gone", ["archived", "moved"])
def test_a_copy_that_somebody_made_of_the_dashboard_stays_theirs(ready: Site, gone: str) -> None:
    ready.dashboard()
    ((number, ours),) = ready.metabase.dashboards.items()
    twin = ready.metabase.post_dashboard_id_copy(str(number), {"name": "Mine"})["id"]
    before = copy.deepcopy(ready.metabase.dashboards[twin])
    assert not ready.dashboard()["changed"]
    ours |= {"archived": True} if gone == "archived" else {"collection_id": 999}
    announced = ready.dashboard(check=True)
    assert announced["changed"] and announced["dashboard_id"] is None
    done = ready.dashboard()
    assert announced["diff"] == done["diff"]
    assert done["dashboard_id"] not in (number, twin)
    assert ready.metabase.dashboards[twin] == before
    assert not ready.dashboard()["changed"]


def test_a_persons_dashboard_with_our_only_card_stays_theirs(ready: Site) -> None:
    one = {**copy.deepcopy(ORDERS), "cards": ORDERS["cards"][:1], "tabs": None}
    one["cards"] = [{**one["cards"][0], "tab": None}]
    ready.dashboard(one)
    ((number, ours),) = ready.metabase.dashboards.items()
    place = {key: ours["dashcards"][0][key] for key in ("card_id", "row", "col", "size_x", "size_y")}
    theirs = ready.metabase.post_dashboard({"name": "Mine", "collection_id": ours["collection_id"]})["id"]
    ready.metabase.put_dashboard_id(str(theirs), {"dashcards": [{"id": -1, **place}]})
    del ready.metabase.dashboards[number]
    assert ready.dashboard(one)["changed"]
    assert ready.metabase.dashboards[theirs]["name"] == "Mine"
    assert len(ready.metabase.dashboards) == 2


def test_a_card_of_another_dashboard_is_refused(ready: Site) -> None:
    ready.dashboard()
    (ours,) = ready.metabase.dashboards.values()
    two = {**copy.deepcopy(ORDERS), "name": "Two"}
    for name in ("Orders", "What somebody calls it"):
        ours["name"] = name
        for check in (True, False):
            message = ready.dashboard(two, check=check)["msg"]
            assert "Orders per minute belongs to the dashboard Orders" in message and "Two" in message
    assert len(ready.metabase.dashboards) == 1
    # Where the definition has another name and somebody gave it to the dashboard, too, it is the same one.
    ours["name"] = "Two"
    assert ready.dashboard(two)["changed"]
    assert len(ready.metabase.dashboards) == 1 and len(ready.metabase.cards) == 2
    assert not ready.dashboard(two)["changed"]


def test_what_a_person_added_stays_as_it_is(ready: Site) -> None:
    ready.dashboard()
    metabase = ready.metabase
    (dashboard,) = metabase.dashboards.values()
    query = {"type": "native", "database": 1, "native": {"query": "select 1"}}
    own = metabase.post_card(
        {
            "name": "Mine",
            "dataset_query": query,
            "display": "table",
            "visualization_settings": {},
            "collection_id": None,
        }
    )
    metabase.put_dashboard_id(
        str(dashboard["id"]),
        {
            "tabs": [*dashboard["tabs"], {"id": -1, "name": "My tab"}],
            "dashcards": [
                *dashboard["dashcards"],
                {
                    "id": -1,
                    "card_id": own["id"],
                    "row": 20,
                    "col": 3,
                    "size_x": 5,
                    "size_y": 5,
                    "dashboard_tab_id": -1,
                    "visualization_settings": {"card.title": "Looks good"},
                    "series": [{"id": own["id"]}],
                },
                {
                    "id": -2,
                    "card_id": None,
                    "row": 30,
                    "col": 0,
                    "size_x": 9,
                    "size_y": 1,
                    "dashboard_tab_id": -1,
                    "visualization_settings": {"text": "Call Anna", "virtual_card": {"display": "text"}},
                },
            ],
            "parameters": [
                *dashboard["parameters"],
                {"id": "feedbeef", "slug": "mine", "name": "Mine", "type": "id"},
            ],
        },
    )
    placed(ready, "Orders per minute")["visualization_settings"]["card.hide_empty"] = True
    card(ready, "Orders per minute")["visualization_settings"]["graph.show_values"] = True
    before = copy.deepcopy(dashboard)

    unchanged = ready.dashboard()
    assert not unchanged["changed"]
    assert unchanged["others"] == ["Mine", "text"]

    changed = copy.deepcopy(ORDERS)
    changed["description"] = "Another one."
    changed["cards"][1]["at"]["row"] = 5
    changed["cards"][0]["settings"]["graph.dimensions"] = ["hour"]
    assert ready.dashboard(changed)["changed"]
    placed(ready, "Orders today")["row"] = 0
    dashboard["description"] = before["description"]
    assert dashboard == before, "only what is declared was written"
    kept = card(ready, "Orders per minute")["visualization_settings"]
    assert kept["graph.show_values"] and kept["graph.dimensions"] == ["hour"]


def tags(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = card(site, "Orders per minute")["dataset_query"]["native"]["template-tags"]
    return found


def test_what_a_person_set_in_a_variable_stays(ready: Site) -> None:
    ready.dashboard()
    tags(ready)["since"] |= {"default": "2026-01-01", "required": True}
    tags(ready)["minutes"]["widget-type"] = "number/="
    before = copy.deepcopy(tags(ready))
    card(ready, "Orders per minute")["display"] = "table"
    ready.metabase.requests.clear()
    assert ready.dashboard()["changed"]
    (written,) = [body for method, path, body in ready.metabase.writes if path.startswith("/api/card/")]
    assert "dataset_query" not in written

    changed = copy.deepcopy(ORDERS)
    changed["cards"][0]["sql"] += " order by minute"
    assert ready.dashboard(changed)["changed"]
    assert tags(ready) == before


def test_a_clause_that_became_optional_needs_its_variable_no_more(ready: Site) -> None:
    ready.dashboard()
    tags(ready)["minutes"]["widget-type"] = "number/="
    changed = copy.deepcopy(ORDERS)
    changed["cards"][0]["sql"] = (
        "select minute, orders from t [[where m > {{minutes}}]] [[and m > {{since}}]]"
    )
    assert ready.dashboard(changed)["changed"]
    assert not tags(ready)["minutes"].keys() & {"required", "default"}
    assert tags(ready)["minutes"]["widget-type"] == "number/="
    assert not ready.dashboard(changed)["changed"]


def test_what_a_person_adds_while_cards_are_written_stays(ready: Site) -> None:
    ready.dashboard()
    (dashboard,) = ready.metabase.dashboards.values()
    real = ready.metabase.put_card_id

    def meanwhile(number: str, body: Any) -> Any:
        text = {"id": 999, "card_id": None, "row": 50, "visualization_settings": {"text": "Call Anna"}}
        dashboard["dashcards"].append({**dashboard["dashcards"][0], **text})
        return real(number, body)

    ready.metabase.put_card_id = meanwhile  # type: ignore[method-assign]
    card(ready, "Orders today")["display"] = "table"
    placed(ready, "Orders today")["row"] = 9
    result = ready.dashboard()
    assert result["changed"] and result["others"] == ["text"]
    assert 999 in {row["id"] for row in dashboard["dashcards"]}


def test_a_card_out_of_the_trash_keeps_what_a_person_set_at_its_place(ready: Site) -> None:
    ready.dashboard()
    place = placed(ready, "Orders today")
    place["visualization_settings"]["click_behavior"] = {"type": "link"}
    place["series"] = [{"id": card(ready, "Orders per minute")["id"]}]
    before = copy.deepcopy(place)
    card(ready, "Orders today")["archived"] = True
    assert ready.dashboard()["changed"]
    assert placed(ready, "Orders today") == before
    assert not ready.dashboard()["changed"]


def test_tabs_and_filters_stay_where_people_put_them(ready: Site) -> None:
    less = copy.deepcopy(ORDERS)
    less["parameters"].pop(0)
    less["tabs"].pop()
    less["cards"].pop()
    less["cards"][0]["sql"] = "select minute from t where minute > {{minutes}}"
    ready.dashboard(less)
    (dashboard,) = ready.metabase.dashboards.values()
    mine = {"id": ready.metabase.next_id(), "name": "Mine", "dashboard_id": dashboard["id"]}
    dashboard["tabs"].insert(0, mine)
    for position, tab in enumerate(dashboard["tabs"]):
        tab["position"] = position
    dashboard["parameters"].insert(0, {"id": "feedbeef", "slug": "mine", "name": "Mine", "type": "id"})
    assert not ready.dashboard(less)["changed"]
    assert ready.dashboard()["changed"]
    assert [tab["name"] for tab in dashboard["tabs"]] == ["Mine", "Overview", "Details"]
    assert [p["slug"] for p in dashboard["parameters"]] == ["mine", "since", "minutes"]
    assert not ready.dashboard()["changed"]


def test_a_card_that_is_no_longer_declared_stays_and_is_told(ready: Site) -> None:
    ready.dashboard()
    less = copy.deepcopy(ORDERS)
    less["cards"].pop()
    result = ready.dashboard(less)
    assert not result["changed"] and result["others"] == ["Orders today"]
    assert len(ready.metabase.cards) == 2


def test_tabs_come_to_a_dashboard_with_a_persons_card(ready: Site) -> None:
    flat = copy.deepcopy(ORDERS)
    del flat["tabs"], flat["cards"][0]["tab"], flat["cards"][1]["tab"]
    flat["cards"][1]["at"]["row"] = 6
    assert ready.dashboard(flat)["changed"]
    (dashboard,) = ready.metabase.dashboards.values()
    dashboard["dashcards"].append({**dashboard["dashcards"][0], "id": 999, "card_id": None, "row": 50})
    assert ready.dashboard()["changed"]
    assert {row["id"]: row["row"] for row in dashboard["dashcards"]}[999] == 50
    assert not ready.dashboard()["changed"]


def test_an_interrupted_run_is_finished_by_the_next(ready: Site) -> None:
    real = ready.metabase.post_dashboard

    def breaks(_: Any) -> Any:
        raise RuntimeError("the machine went away")

    ready.metabase.post_dashboard = breaks  # type: ignore[assignment,method-assign]
    assert "does not answer" in ready.dashboard()["msg"]
    ready.metabase.post_dashboard = real  # type: ignore[method-assign]
    assert ready.dashboard()["changed"]
    assert len(ready.metabase.cards) == 2, "the cards of the first run are found again"
    assert not ready.dashboard()["changed"]


def test_a_large_collection_is_read_to_its_end(ready: Site) -> None:
    ready.dashboard()
    (collection,) = ready.metabase.collections
    native = {"type": "native", "database": 1, "native": {"query": "select 1"}}
    made = {
        "dataset_query": native,
        "display": "table",
        "visualization_settings": {},
        "collection_id": collection,
    }
    (number, dashboard), *_ = ready.metabase.dashboards.items()
    for count in range(250):
        ready.metabase.post_card({"name": f"Card {count}", **made})
    ready.metabase.dashboards = {number: dashboard}
    assert not ready.dashboard()["changed"]


# What is refused


def test_two_of_a_name_are_refused(ready: Site) -> None:
    ready.dashboard()
    metabase = ready.metabase
    twin = metabase.post_card(
        {
            **{
                k: card(ready, "Orders today")[k]
                for k in ("name", "dataset_query", "display", "visualization_settings", "collection_id")
            }
        }
    )
    message = ready.dashboard()["msg"]
    assert "2 of the card Orders today" in message and str(twin["id"]) in message
    metabase.cards[twin["id"]]["archived"] = True

    (collection,) = metabase.collections
    metabase.post_dashboard({"name": "Orders", "collection_id": collection})
    assert "2 of the dashboard Orders" in ready.dashboard()["msg"]
    metabase.post_collection({"name": "Lakehouse"})
    assert "2 of the collection Lakehouse" in ready.dashboard()["msg"]
    metabase.post_database(
        {
            "name": "Lakehouse",
            "engine": "sparksql",
            "details": next(iter(metabase.databases.values()))["details"],
        }
    )
    assert "2 of the database Lakehouse" in ready.dashboard()["msg"]
    assert "2 of the database Lakehouse" in ready.connect()["msg"]


@pytest.mark.parametrize("change", [{"name": "Our numbers"}, {"location": "/999/"}])
def test_a_collection_that_somebody_renamed_or_moved_is_told_and_nothing_is_made_anew(
    ready: Site, change: dict[str, str]
) -> None:
    ready.dashboard()
    (collection,) = ready.metabase.collections.values()
    as_it_was = dict(collection)
    collection |= change
    ready.metabase.requests.clear()
    for check in (True, False):
        message = ready.dashboard(check=check)["msg"]
        assert f"{collection['name']} (id {collection['id']}) has the dashboards" in message
    assert not ready.metabase.writes
    collection |= as_it_was
    assert not ready.dashboard()["changed"]


def test_a_collection_in_the_trash_is_made_anew(ready: Site) -> None:
    ready.dashboard()
    for things in (ready.metabase.collections, ready.metabase.cards, ready.metabase.dashboards):
        for thing in things.values():
            thing["archived"] = True
    assert ready.dashboard()["changed"]
    assert not ready.dashboard()["changed"]
    assert len(ready.metabase.cards) == 2 and len(ready.metabase.collections) == 2


def test_a_card_of_the_name_that_a_person_made_is_taken_over(ready: Site) -> None:
    collection = ready.metabase.post_collection({"name": "Lakehouse"})
    own = {"type": "native", "database": 1, "native": {"query": "select 1"}}
    made = {
        "dataset_query": own,
        "display": "table",
        "visualization_settings": {},
        "collection_id": collection["id"],
    }
    number = ready.metabase.post_card({"name": "Orders today", **made})["id"]
    assert ready.dashboard()["changed"]
    assert len(ready.metabase.cards) == 2
    assert placed(ready, "Orders today")["card_id"] == number
    assert not ready.dashboard()["changed"]


def wrong(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ORDERS), **changes}


def wrong_card(**changes: Any) -> dict[str, Any]:
    definition = copy.deepcopy(ORDERS)
    definition["cards"][1] |= changes
    return definition


def wrong_default(kind: str, default: Any) -> dict[str, Any]:
    definition = copy.deepcopy(ORDERS)
    definition["parameters"][1] |= {"type": kind, "default": default}
    return definition


def test_a_filter_is_a_choice_of_its_values(ready: Site) -> None:
    definition = copy.deepcopy(ORDERS)
    definition["cards"][0]["sql"] += "[[and kind = {{kind}}]]"
    definition["parameters"].append(
        {"slug": "kind", "name": "Kind", "type": "string/=", "values": ["a", "b"]}
    )
    assert ready.dashboard(definition)["changed"]
    offered = next(iter(ready.metabase.dashboards.values()))["parameters"][2]
    assert offered["values_source_type"] == "static-list"
    assert offered["values_source_config"] == {"values": ["a", "b"]}
    assert not ready.dashboard(definition)["changed"]
    definition["parameters"][2]["values"] = ["a", "b", "c"]
    assert ready.dashboard(definition)["changed"]
    offered = next(iter(ready.metabase.dashboards.values()))["parameters"][2]
    assert offered["values_source_config"] == {"values": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("number/=", "thirty"),
        ("number/=", {"a": 1}),
        ("number/=", True),
        ("number/=", []),
        ("number/=", [1, "x"]),
        ("number/=", float("inf")),
        ("date/single", "soon"),
        ("date/single", "2026-02-30"),
        ("date/single", ["2026-01-01"]),
        ("date/single", 20260101),
        ("string/=", 5),
        ("string/=", []),
        ("string/=", ["a", 5]),
    ],
)
def test_a_default_of_another_type_is_refused(kind: str, default: Any) -> None:
    with pytest.raises(client.MetabaseError, match=r"parameters\[1\]\.default is"):
        parse(wrong_default(kind, default))


@pytest.mark.parametrize(
    ("kind", "default", "kept"),
    [
        ("number/=", [1, 2.5], [1, 2.5]),
        ("number/=", "60", "60"),
        ("date/single", "2026-01-01", "2026-01-01"),
        ("date/single", date(2026, 1, 1), "2026-01-01"),
        ("string/=", ["a", "b"], ["a", "b"]),
    ],
)
def test_a_default_of_its_type_is_taken(kind: str, default: Any, kept: Any) -> None:
    assert parse(wrong_default(kind, default)).parameters[1].default == kept


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        (wrong(color="red"), "color is unknown"),
        (wrong(refresh=0), "refresh is 0"),
        (wrong(refresh="60"), "refresh is '60', and must be of type int"),
        (wrong(name=""), "name is missing"),
        (wrong(tabs=["Overview", "Overview", "Details"]), "two tabs Overview"),
        (wrong(tabs=None), "and there are no tabs"),
        (wrong(parameters=[]), "{{minutes}}, which is no parameter"),
        (
            wrong(parameters=[{"slug": "s", "name": "S", "type": "date/range"}]),
            "parameters[0].type is date/range",
        ),
        (wrong_card(tab="Nowhere"), "on tab Nowhere"),
        (wrong_card(name="Orders per minute"), "two cards Orders per minute"),
        (wrong_card(display="bars"), "cards[1].display is bars"),
        (wrong_card(at={"row": 0, "col": 20, "width": 5, "height": 1}), "not inside a grid of 24 columns"),
        (wrong_card(at={"row": 0, "col": 2}), "cards[1].at.width is missing"),
        (wrong_card(tab="Overview"), "overlap"),
        (wrong_card(sql="select {{since}}"), "cannot run while the filter since is empty"),
        (wrong_card(sql=" \n"), "cards[1].sql is blank"),
        (wrong_card(sql="select 1 [[and {{since}}"), "cards[1].sql: a [[ has no ]]"),
        (wrong_card(sql="select 1 [[and [[or {{since}}]]]]"), "a [[ stands in a [[…]]"),
        (wrong_card(sql="select 1 [[and true]]"), "a [[…]] has no variable"),
        (wrong_card(sql="select 1 [[and {{since]]"), "a {{ has no }}"),
        (wrong_card(sql="select {{snippet: a}}"), "{{snippet: a}} is no variable"),
        (wrong_card(sql="select {{}}"), "{{}} is no variable"),
        (wrong_card(name=" "), "cards[1].name is blank"),
        (wrong_card(name="x" * 255), "cards[1].name is longer than 254"),
        (wrong_card(description=" "), "cards[1].description is blank"),
        (wrong(name=" "), "name is blank"),
        (wrong(tabs=["Overview", "Details", " "]), "tabs must be a list of names"),
        (
            wrong_card(settings={"column_settings": {"orders": {"suffix": "x"}}}),
            "cards[1].settings.column_settings has the key orders, which is no JSON",
        ),
        (wrong_card(settings={"column_settings": []}), "column_settings must be a mapping"),
        (
            wrong(parameters=[*ORDERS["parameters"], {"slug": "x", "name": "X", "type": "string/="}]),
            "no card uses the parameter x",
        ),
        (
            wrong(
                parameters=[{**ORDERS["parameters"][0], "values": ["2026-01-01"]}, ORDERS["parameters"][1]]
            ),
            "parameters[0].values is ['2026-01-01']",
        ),
    ],
)
def test_a_wrong_definition_is_named_and_nothing_is_asked(
    site: Site, definition: dict[str, Any], complaint: str
) -> None:
    message = site.dashboard(definition)["msg"]
    assert complaint in message
    assert not site.metabase.requests


def test_without_the_database_nothing_is_made(site: Site) -> None:
    site.set_up()
    site.metabase.requests.clear()
    announced = site.dashboard(check=True)
    assert announced["changed"] and "no database Lakehouse" in str(announced["warnings"]), (
        "a task before may make it"
    )
    assert "no database Lakehouse" in site.dashboard()["msg"]
    assert not site.metabase.writes


def test_keys_that_a_server_leaves_out(ready: Site) -> None:
    flat = copy.deepcopy(ORDERS)
    del flat["tabs"], flat["cards"][0]["tab"], flat["cards"][1]["tab"]
    flat["cards"][1]["at"]["row"] = 6
    ready.dashboard(flat)
    (collection,) = ready.metabase.collections.values()
    (dashboard,) = ready.metabase.dashboards.values()
    del collection["location"]
    root = {"id": "root", "name": "Lakehouse"}
    ready.metabase.get_collection = lambda: [root, collection]  # type: ignore[method-assign]
    for row in dashboard["dashcards"]:
        del row["dashboard_tab_id"]
    del placed(ready, "Orders today")["parameter_mappings"]
    del placed(ready, "Orders today")["visualization_settings"]["cdc.lakehouse.placed_for"]
    assert ready.dashboard(flat)["changed"]
    assert not ready.dashboard(flat)["changed"]
    assert len(ready.metabase.collections) == len(ready.metabase.dashboards) == 1


# What goes wrong


@pytest.mark.parametrize("answer", [{}, [], None])
def test_a_login_without_a_session(ready: Site, answer: Any) -> None:
    ready.metabase.post_session = lambda _: answer  # type: ignore[assignment,method-assign]
    assert "answers the login without a session" in ready.dashboard()["msg"]


def test_thrift_is_down(site: Site) -> None:
    site.set_up()
    site.metabase.thrift.up = False
    for check in (True, False):
        message = site.connect(check=check)["msg"]
        assert "node2:10000" in message and "Connection refused" in message and "bi-password" not in message
    assert not site.metabase.databases


def test_thrift_refuses_the_password(ready: Site) -> None:
    message = ready.connect(password="a-wrong-one")["msg"]
    assert "Error validating the login" in message and "a-wrong-one" not in message
    assert next(iter(ready.metabase.databases.values()))["details"]["password"] == "bi-password"


def test_no_secret_shows_that_an_answer_repeats(ready: Site) -> None:
    ready.metabase.thrift.complaint = lambda details: f"bad: {details}"  # type: ignore[method-assign]
    message = ready.connect(password="a-wrong-one")["msg"]
    assert "bad: {" in message and "a-wrong-one" not in message


def test_a_password_that_was_changed_at_thrift_is_changed_here(ready: Site) -> None:
    ready.metabase.thrift.passwords["bi"] = "another-one"
    announced = ready.connect(check=True, password="another-one")
    assert announced["changed"]
    assert announced["diff"]["before"]["password"] != announced["diff"]["after"]["password"]
    assert not ready.metabase.writes
    done = ready.connect(password="another-one")
    assert done["changed"] and "another-one" not in json.dumps(done)
    assert next(iter(ready.metabase.databases.values()))["details"]["password"] == "another-one"
    assert not ready.connect(password="another-one")["changed"]


def test_the_mask_never_becomes_the_password(ready: Site) -> None:
    assert ready.connect(host="node4")["changed"]
    (database,) = ready.metabase.databases.values()
    assert database["details"]["host"] == "node4" and database["details"]["password"] != MASK


def test_what_a_person_set_at_the_database_stays(ready: Site) -> None:
    (database,) = ready.metabase.databases.values()
    database["is_on_demand"] = True
    database["details"]["jdbc-flags"] = ";x=1"
    database["cache_ttl"] = 24
    assert ready.connect(host="node4")["changed"]
    assert database["is_on_demand"] and database["details"]["jdbc-flags"] == ";x=1"
    assert database["cache_ttl"] == 24


@pytest.mark.parametrize("change", [{"host": "node4"}, {"port": 10001}, {"dbname": "silver"}])
def test_the_tables_of_another_place_are_read(ready: Site, change: dict[str, Any]) -> None:
    assert ready.connect(**change)["changed"]
    assert [path for _, path, _ in ready.metabase.writes if path.endswith("/sync_schema")]
    (database,) = ready.metabase.databases.values()
    assert database["initial_sync_status"] == "complete" and database["reading"], "Metabase does not tell"
    ready.metabase.requests.clear()
    assert not ready.connect(**change)["changed"]
    assert not ready.metabase.writes


def test_the_tables_of_the_same_place_are_not_read_again(ready: Site) -> None:
    assert ready.connect(jdbc_flags=";x=1")["changed"]
    assert not [path for _, path, _ in ready.metabase.writes if path.endswith("/sync_schema")]


def test_another_kind_of_database_is_not_touched(ready: Site) -> None:
    next(iter(ready.metabase.databases.values()))["engine"] = "postgres"
    assert "a connection to postgres" in ready.connect()["msg"]


def test_a_sync_that_was_broken_off_is_started_again(ready: Site) -> None:
    (database,) = ready.metabase.databases.values()
    database["initial_sync_status"] = "aborted"
    assert ready.connect(check=True)["changed"]
    assert ready.connect()["changed"]
    assert database["initial_sync_status"] == "complete" and not database["reading"], "it is awaited"
    assert not ready.connect()["changed"]


def test_a_sync_that_takes_too_long_says_so(site: Site) -> None:
    site.set_up()
    site.metabase.sync_after = 10**6
    assert "has not read the tables of Lakehouse after 0 s" in site.connect(sync_timeout=0)["msg"]


def test_somebody_else_set_it_up(ready: Site) -> None:
    message = ready.set_up(password="Another-long-Pa55word")["msg"]
    assert "was set up already" in message and EMAIL in message and "Another-long" not in message
    assert ready.metabase.users == {EMAIL: PASSWORD}


def test_a_weak_password_is_refused_with_metabases_words(site: Site) -> None:
    message = site.set_up(password="secret")["msg"]
    assert "user.password: password is too common" in message
    assert not site.metabase.users


def test_a_setting_changed_by_hand_is_mended_and_others_stay(ready: Site) -> None:
    ready.metabase.settings |= {"site-name": "Mine", "report-timezone": "UTC"}
    announced = ready.set_up(check=True)
    assert announced["diff"]["before"]["settings"] == {"site-name": "Mine"}
    assert ready.metabase.settings["site-name"] == "Mine"
    assert ready.set_up()["changed"]
    assert ready.metabase.settings["site-name"] == "Lakehouse"
    assert ready.metabase.settings["report-timezone"] == "UTC"


def test_a_sensitive_setting_is_told_by_its_end_and_never_shown(ready: Site) -> None:
    secret = {"embedding-secret-key": "something-very-secret-00"}
    for given in (secret, {"embedding-secret-key": "something-very-secret-11"}):
        announced = ready.set_up(check=True, settings=given)
        done = ready.set_up(settings=given)
        assert done["changed"] and announced["diff"] == done["diff"]
        assert done["diff"]["after"]["settings"] == {"embedding-secret-key": "(as given)"}
        assert "very-secret" not in json.dumps(done)
        assert ready.metabase.settings.items() >= given.items()
        assert not ready.set_up(settings=given)["changed"]
    ready.metabase.from_environment.add("embedding-secret-key")
    assert "very-secret" not in ready.set_up(settings=secret)["msg"]


def test_secrets_show_nowhere_but_words_like_false_do(site: Site) -> None:
    settings = {"smtp-password": "very-secret", "a-token": "83624512", "enable-password-login": "false"}
    site.metabase.settings |= {**dict.fromkeys(settings), "enable-password-login": True}
    announced = site.set_up(check=True, settings=settings)
    assert "very-secret" not in json.dumps(announced) and "83624512" not in json.dumps(announced)
    assert announced["diff"]["after"]["settings"]["enable-password-login"] == "false"


def test_check_mode_does_not_log_in_before_there_is_a_user(site: Site) -> None:
    """Metabase would count it as an attempt that failed."""
    assert site.connect(check=True)["changed"]
    announced = site.dashboard(check=True)
    assert announced["changed"]
    assert "yet to be set up" in str(announced["warnings"])
    assert not [request for request in site.metabase.requests if request[1] == "/api/session"]


def test_check_mode_tells_what_a_fresh_one_gets(site: Site) -> None:
    settings = {"site-name": None, "anon-tracking-enabled": True, "site-url": None}
    announced = site.set_up(check=True, settings=settings)
    assert announced["diff"]["after"]["settings"] == {"anon-tracking-enabled": True}
    assert announced["diff"] == site.set_up(settings=settings)["diff"]
    assert site.metabase.settings["site-name"] == "Metabase" and site.metabase.settings["site-url"] is None
    assert not site.set_up(settings=settings)["changed"]


def test_settings_given_as_text_and_as_nothing(ready: Site) -> None:
    given = {"site-name": None, "anon-tracking-enabled": "True", "query-caching-max-kb": "500"}
    assert ready.set_up(check=True, settings=given)["changed"]
    assert ready.set_up(settings=given)["changed"]
    assert ready.metabase.settings["site-name"] == "Metabase"
    assert ready.metabase.settings["anon-tracking-enabled"] is True
    assert ready.metabase.settings["query-caching-max-kb"] == 500
    assert not ready.set_up(settings=given)["changed"]
    for key, value in (("anon-tracking-enabled", "perhaps"), ("query-caching-max-kb", "many")):
        message = ready.set_up(check=True, settings={key: value})["msg"]
        assert key in message and value in message


def test_an_address_of_the_site_without_a_scheme_is_refused(site: Site) -> None:
    """Metabase would put http:// before it, and each run would change it again."""
    for check in (True, False):
        message = site.set_up(check=check, settings={"site-url": "node3:3000"})["msg"]
        assert "site-url is 'node3:3000', and must begin with http:// or https://" in message
    assert not site.metabase.requests


def test_a_metabase_that_tells_only_of_its_token(ready: Site) -> None:
    real = ready.metabase.get_session_properties

    def older() -> dict[str, Any]:
        return {key: value for key, value in real().items() if key != "has-user-setup"}

    ready.metabase.get_session_properties = older  # type: ignore[method-assign]
    assert not ready.set_up()["changed"]


def test_a_setting_that_does_not_exist_and_one_from_the_environment(ready: Site) -> None:
    assert "no setting sight-name" in ready.set_up(settings={"sight-name": "x"})["msg"]
    ready.metabase.from_environment.add("site-name")
    assert "MB_SITE_NAME" in ready.set_up()["msg"]


def test_a_wrong_password_then_the_throttle(ready: Site) -> None:
    for _ in range(ATTEMPTS):
        message = ready.dashboard(login_password="guess-of-the-day")["msg"]
        assert "does not let admin@example.com in" in message and "guess-of-the-day" not in message
    throttled = ready.dashboard()["msg"]
    assert "Too many attempts" in throttled and "15 seconds" in throttled and "Wait" in throttled
    # Setting up must not take it for somebody else's Metabase.
    assert "Too many attempts" in ready.set_up()["msg"]


def test_a_key_that_is_none(ready: Site) -> None:
    message = ready.dashboard(login_user=None, login_password=None, api_key="mb_nonsense")["msg"]
    assert "does not accept the api_key" in message and "mb_nonsense" not in message


def test_an_address_that_is_none(site: Site) -> None:
    assert "must begin with http" in site.dashboard(url="node3:3000")["msg"]


def test_nobody_answers(site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = site.dashboard(url=url)["msg"]
    assert "does not answer" in message and url in message


def test_reading_is_tried_again_and_writing_is_not(ready: Site) -> None:
    ready.metabase.broken = [(503, "starting"), (429, "slow down")]
    ready.metabase.requests.clear()
    assert ready.connect()["msg"].startswith("Metabase at")  # the login is a POST
    ready.metabase.broken = []
    assert ready.dashboard()["changed"]

    real = ready.metabase.get_database
    ready.metabase.get_database = lambda: ready.metabase.broken.append((502, "x")) or real()  # type: ignore
    assert not ready.dashboard()["changed"]
