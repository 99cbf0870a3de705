"""What is said of a source that is not ready."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.cdc.lakehouse.plugins.filter.source_needs import source_needs

WANTED = {
    "database": "shop",
    "tables": ["public.orders", "sales.visits"],
    "kept_wal": "4GB",
    "own_tables": "CREATE TABLE IF NOT EXISTS cdc.heartbeat (…);\n",
}
MAY_READ = {"usage": True, "privileges": ["SELECT"]}
READY: dict[str, Any] = {
    "is_standby": False,
    "provider": None,
    "settings": {
        "wal_level": "logical",
        "max_slot_wal_keep_size": "4096",
        "max_replication_slots": "10",
        "max_wal_senders": "10",
    },
    "slots": 0,
    "senders": 0,
    "replicates": True,
    "relations": {
        "public.orders": MAY_READ,
        "sales.visits": MAY_READ,
        "cdc.heartbeat": {"usage": True, "privileges": ["SELECT", "INSERT", "UPDATE"]},
        "cdc.offsets": {"usage": True, "privileges": ["SELECT", "INSERT", "DELETE"]},
    },
    "with_hidden_rows": [],
    "without_identity": [],
    "publication": {
        "is_whole": True,
        "all_tables": False,
        "schemas": False,
        "tables": ["sales.visits", "public.orders", "cdc.heartbeat"],
    },
}
TABLES: list[dict[str, Any]] = [
    {"name": "public.orders", "why_not": None, "key": ["order_id"]},
    {"name": "sales.visits", "why_not": None, "key": ["visitor", "day"]},
]


def said(source: dict[str, Any], tables: list[dict[str, Any]] | None = None, error: str = "") -> str:
    message: str = source_needs(source, "db:5432", TABLES if tables is None else tables, WANTED, error)
    return message


def but(**changed: Any) -> dict[str, Any]:
    """A source that is ready but for something."""
    return {**copy.deepcopy(READY), **changed}


def settings(**changed: str) -> dict[str, str]:
    return {**READY["settings"], **changed}


def relations(**changed: Any) -> dict[str, Any]:
    return {**READY["relations"], **{name.replace("__", "."): facts for name, facts in changed.items()}}


def test_of_a_source_that_is_ready_nothing_is_said() -> None:
    assert said(READY) == ""


@pytest.mark.parametrize(
    ("source", "mended_by"),
    [
        (
            but(settings=settings(wal_level="replica")),
            "ALTER SYSTEM SET wal_level = 'logical'; -- takes a restart",
        ),
        (but(slots=10), "ALTER SYSTEM SET max_replication_slots = '14'; -- takes a restart"),
        (but(senders=12), "ALTER SYSTEM SET max_wal_senders = '16'; -- takes a restart"),
        (
            but(settings=settings(max_slot_wal_keep_size="-1")),
            "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'; SELECT pg_reload_conf();",
        ),
        (
            but(settings=settings(max_slot_wal_keep_size="64")),
            "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'; SELECT pg_reload_conf();",
        ),
        (but(replicates=False), "ALTER ROLE cdc REPLICATION;"),
        (but(replicates=False, provider="rds_superuser"), "GRANT rds_replication TO cdc;"),
        (
            but(settings=settings(wal_level="replica"), provider="rds_superuser"),
            "-- In the instance's parameter group: rds.logical_replication = 1",
        ),
        (
            but(settings=settings(wal_level="replica"), provider="cloudsqlsuperuser"),
            "-- In the instance's flags: cloudsql.logical_decoding = on",
        ),
        (
            but(settings=settings(max_slot_wal_keep_size="-1"), provider="cloudsqlsuperuser"),
            "-- In the instance's flags: max_slot_wal_keep_size = 4GB",
        ),
        (
            but(relations=relations(sales__visits={"usage": False, "privileges": []})),
            'GRANT USAGE ON SCHEMA "sales" TO cdc;\nGRANT SELECT ON "sales"."visits" TO cdc;',
        ),
        (
            but(relations=relations(cdc__heartbeat={"usage": True, "privileges": ["SELECT", "INSERT"]})),
            'GRANT UPDATE ON "cdc"."heartbeat" TO cdc;',
        ),
        (
            but(with_hidden_rows=["public.orders", "sales.visits"]),
            "ALTER ROLE cdc BYPASSRLS;\n"
            "-- That takes a superuser. Without one, policies do, where no RESTRICTIVE one hides rows:\n"
            '--   CREATE POLICY lakehouse ON "public"."orders" FOR SELECT TO cdc USING (true);\n'
            '--   CREATE POLICY lakehouse ON "sales"."visits" FOR SELECT TO cdc USING (true);',
        ),
        (but(without_identity=["sales.visits_2026"]), "ALTER TABLE sales.visits_2026 REPLICA IDENTITY FULL;"),
        (
            but(publication=None),
            'CREATE PUBLICATION lakehouse FOR TABLE "cdc"."heartbeat", "public"."orders", "sales"."visits" '
            "WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);",
        ),
        (
            but(publication={**READY["publication"], "is_whole": False}),
            "ALTER PUBLICATION lakehouse SET "
            "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true);",
        ),
        *(
            (
                but(publication={**READY["publication"], **wrong}),
                "ALTER PUBLICATION lakehouse SET TABLE "
                '"cdc"."heartbeat", "public"."orders", "sales"."visits";',
            )
            for wrong in (
                {"tables": ["public.orders", "sales.visits"]},
                {"tables": ["public.orders in part", "sales.visits", "cdc.heartbeat"]},
                {"tables": [*READY["publication"]["tables"], "public.more"]},
                {"schemas": True},
            )
        ),
        (but(is_standby=True), "-- Name its primary in lakehouse_source_address."),
    ],
)
def test_one_thing_that_is_missing_is_said_alone_with_what_mends_it(
    source: dict[str, Any], mended_by: str
) -> None:
    head, need = said(source).split("\n\n")
    assert head.startswith("db:5432 is not ready: 1 thing to mend.")
    what, sql = need.split("\n", 1)
    assert what.startswith("-- ")
    assert sql == mended_by


def test_a_publication_of_all_tables_is_made_anew() -> None:
    message = said(but(publication={**READY["publication"], "all_tables": True}))
    assert "\nDROP PUBLICATION lakehouse;\nCREATE PUBLICATION lakehouse FOR TABLE " in message


def test_tables_that_cannot_be_captured_are_named_with_the_ways_out() -> None:
    message = said(
        READY,
        [
            {"name": "public.orders", "why_not": None, "key": []},
            {
                "name": "sales.visits",
                "why_not": {"what": "is a partition", "way_out": "Name its root"},
                "key": [],
            },
        ],
    )
    assert "public.orders has no primary key" in message
    assert 'ALTER TABLE "public"."orders" ADD PRIMARY KEY (...); or remove the entry' in message
    assert (
        "-- sales.visits is a partition\n-- Name its root, or remove the entry from lakehouse_tables."
        in message
    )


REFUSED = (
    'connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused\n'
    "\tIs the server running on that host and accepting TCP/IP connections?\n"
)
SLOW = 'connection to server at "db" (10.0.0.2), port 5432 failed: timeout expired\n'
UNKNOWN = 'could not translate host name "db" to address: Name or service not known\n'


@pytest.mark.parametrize("error", [REFUSED, SLOW, UNKNOWN, REFUSED + SLOW])
def test_a_source_that_does_not_answer_is_told_nothing_to_run(error: str) -> None:
    message = said({}, [], error)
    assert f"it cannot be reached: {error[:20]}" in message
    assert "lakehouse_source_address" in message
    assert ";" not in message


@pytest.mark.parametrize(
    "answer",
    [
        'FATAL:  password authentication failed for user "cdc"',
        "FATAL:  canceling authentication due to timeout",
        "server does not support SSL, but SSL was required",
    ],
)
@pytest.mark.parametrize("before", ["", REFUSED])
def test_a_source_that_answers_at_one_address_is_reached(answer: str, before: str) -> None:
    error = f'{before}connection to server at "db" (10.0.0.3), port 5432 failed: {answer}\n'
    assert "the role cdc cannot log in: connection to server" in said({}, [], error)
    assert "the role cdc cannot log in: connection to server" in said({}, [], error + SLOW)


def test_without_a_login_everything_is_listed() -> None:
    message = said({}, [], 'FATAL:  password authentication failed for user "cdc"\n')
    assert 'the role cdc cannot log in: FATAL: password authentication failed for user "cdc"\n' in message
    for statement in (
        "CREATE ROLE cdc LOGIN REPLICATION PASSWORD '<lakehouse_secret_postgres_cdc>';",
        'GRANT CONNECT ON DATABASE "shop" TO cdc;',
        "ALTER SYSTEM SET wal_level = 'logical'; -- takes a restart",
        "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'; SELECT pg_reload_conf();",
        "CREATE TABLE IF NOT EXISTS cdc.heartbeat (…);",
        'GRANT USAGE ON SCHEMA "sales" TO cdc;',
        'GRANT SELECT ON "sales"."visits" TO cdc;',
        'GRANT SELECT, INSERT, DELETE ON "cdc"."offsets" TO cdc;',
        'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;',
    ):
        assert f"\n{statement}\n" in message
    assert (
        '\nCREATE PUBLICATION lakehouse FOR TABLE "cdc"."heartbeat", "public"."orders", "sales"."visits" WITH'
        in message
    )
