# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What a PostgreSQL that is there already lacks to be a source, and the SQL that mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LEAST_KEPT_MB = 1024
HEARTBEAT = "cdc.heartbeat"
# What Debezium writes in the source, and what the role cdc must be allowed there.
OWN = {HEARTBEAT: ("SELECT", "INSERT", "UPDATE"), "cdc.offsets": ("SELECT", "INSERT", "DELETE")}

# What libpq says when there was no server that could have refused.
UNREACHABLE = re.compile("could not translate|refused|timeout|timed out|No route|unreachable")

# Where a provider's server keeps its settings, by a role that only its servers have; what to set, if another.
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "rds_superuser": ("the instance's parameter group", {"wal_level": "rds.logical_replication = 1"}),
    "cloudsqlsuperuser": ("the instance's flags", {"wal_level": "cloudsql.logical_decoding = on"}),
    "azure_pg_admin": ("the server's parameters", {}),
}


@dataclass(frozen=True)
class Wanted:
    """What the source is to serve.

    Attributes:
        database: Name of the database.
        tables: The captured tables, as schema.table.
        kept_wal: How much WAL a slot may hold back, as PostgreSQL writes it: 4GB.
        own_tables: The statements that make Debezium's own tables.
    """

    database: str
    tables: Sequence[str]
    kept_wal: str
    own_tables: str


@dataclass(frozen=True)
class Need:
    """Something that the source lacks.

    Attributes:
        what: It, in words.
        sql: The statements that mend it; a comment where SQL cannot.
    """

    what: str
    sql: str


def needs_of_a_stranger(wanted: Wanted, error: str) -> list[Need]:
    """All that a source needs, when it cannot be asked because the role cdc does not get in."""
    error = " ".join(error.split())
    if _is_unreachable(error):
        way = "lakehouse_source_address, lakehouse_source_port, listen_addresses, firewalls"
        return [Need(f"it cannot be reached: {error}", f"-- Look at {way}.")]
    login = Need(
        f"the role cdc cannot log in: {error}",
        "-- ALTER ROLE, where there is one.\n"
        "CREATE ROLE cdc LOGIN REPLICATION PASSWORD '<lakehouse_secret_postgres_cdc>';\n"
        f'GRANT CONNECT ON DATABASE "{wanted.database}" TO cdc;\n'
        "-- It comes over TLS (ssl = on) from the hosts of Debezium and the pipeline: pg_hba.conf allows it.",
    )
    tables = [_quoted(name) for name in wanted.tables]
    rest = needs({"replicates": True, "without_identity": tables}, [], wanted)
    return [
        login,
        Need("what else it has of the following is not known", "-- Leave out what is there."),
        *rest,
    ]


def needs(source: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], wanted: Wanted) -> list[Need]:
    """What a source lacks.

    Args:
        source: What templates/source.sql.j2 of the role postgres_cdc reads; what is not there is not known.
        tables: What its templates/catalog.sql.j2 reads of each captured table.
        wanted: What the source is to serve.
    """
    if source.get("is_standby"):
        return [
            Need(
                "it is a standby, which publishes nothing", "-- Name its primary in lakehouse_source_address."
            )
        ]
    return [
        *_settings(source, wanted),
        *_role(source),
        *_tables(tables),
        *_own_tables(source, wanted),
        *_privileges(source, wanted),
        *_row_security(source),
        *_identities(source),
        *_publication(source.get("publication"), wanted),
    ]


def message(missing: Sequence[Need], where: str) -> str:
    """Everything that is missing as one script, for the owner of the source."""
    things = "1 thing" if len(missing) == 1 else f"{len(missing)} things"
    head = (
        f"{where} is not ready: {things} to mend. Nothing was changed there. "
        "Run this as its owner, then try again:"
    )
    return "\n".join([head, *(f"\n-- {need.what}\n{need.sql}" for need in missing)])


def _quoted(name: str) -> str:
    # A schema may be called `order`. The names are checked to have no quotes.
    return ".".join(f'"{part}"' for part in name.split("."))


def _is_unreachable(error: str) -> bool:
    # libpq tries each address of the host, and tells of each.
    attempts = [attempt for attempt in error.split("connection to server ") if attempt]
    return all(UNREACHABLE.search(attempt) and "FATAL:" not in attempt for attempt in attempts)


def _settings(source: Mapping[str, Any], wanted: Wanted) -> Iterator[Need]:
    settings: Mapping[str, str] = source.get("settings", {})

    def mend(name: str, value: str, after: str) -> str:
        if source.get("provider") not in PROVIDERS:
            return f"ALTER SYSTEM SET {name} = '{value}'; {after}"
        place, others = PROVIDERS[source["provider"]]
        return f"-- In {place}: {others.get(name, f'{name} = {value}')}"

    restart = "-- takes a restart"
    if settings.get("wal_level") != "logical":
        yield Need(
            f"wal_level is {settings.get('wal_level', 'to be logical')}",
            mend("wal_level", "logical", restart),
        )
    for name, used, kind in (
        ("max_replication_slots", "slots", "replication slot"),
        ("max_wal_senders", "senders", "WAL sender"),
    ):
        if name in settings and int(settings[name]) <= source[used]:
            yield Need(
                f"no {kind} is free: {name} is {settings[name]}",
                mend(name, str(source[used] + 4), restart),
            )
    kept = int(settings.get("max_slot_wal_keep_size", -1))
    if kept < LEAST_KEPT_MB:
        state = (
            "not bounded: while Debezium is away, its slot fills the disk" if kept < 0 else f"only {kept} MB"
        )
        yield Need(
            f"max_slot_wal_keep_size is {state}",
            mend("max_slot_wal_keep_size", wanted.kept_wal, "SELECT pg_reload_conf();"),
        )


def _role(source: Mapping[str, Any]) -> Iterator[Need]:
    if not source.get("replicates"):
        on_rds = source.get("provider") == "rds_superuser"
        yield Need(
            "the role cdc may not replicate",
            f"{'GRANT rds_replication TO cdc' if on_rds else 'ALTER ROLE cdc REPLICATION'};",
        )


def _tables(tables: Sequence[Mapping[str, Any]]) -> Iterator[Need]:
    for table in tables:
        name = table["name"]
        if table["why_not"]:
            yield Need(
                f"{name} {table['why_not']['what']}",
                f"-- {table['why_not']['way_out']}, or remove the entry from lakehouse_tables.",
            )
        elif not table["key"]:
            yield Need(
                f"{name} has no primary key: its changes could not be told apart",
                f"-- ALTER TABLE {_quoted(name)} ADD PRIMARY KEY (...); or remove the entry "
                "from lakehouse_tables.",
            )


def _own_tables(source: Mapping[str, Any], wanted: Wanted) -> Iterator[Need]:
    absent = OWN.keys() - source_relations(source).keys()
    if absent:
        yield Need(
            f"Debezium's own tables are not there: {', '.join(sorted(absent))}", wanted.own_tables.strip()
        )


def _privileges(source: Mapping[str, Any], wanted: Wanted) -> Iterator[Need]:
    relations = source_relations(source)
    wanted_here = {**{name: ("SELECT",) for name in wanted.tables}, **OWN}
    grants: dict[str, None] = {}  # a set in order
    for name, privileges in wanted_here.items():
        schema, _, _ = name.partition(".")
        known = relations.get(name, {"usage": False, "privileges": []})
        if not known["usage"]:
            grants[f'GRANT USAGE ON SCHEMA "{schema}" TO cdc;'] = None
        lacking = [privilege for privilege in privileges if privilege not in known["privileges"]]
        if lacking:
            grants[f"GRANT {', '.join(lacking)} ON {_quoted(name)} TO cdc;"] = None
    if grants:
        yield Need("the role cdc lacks privileges", "\n".join(grants))


def _row_security(source: Mapping[str, Any]) -> Iterator[Need]:
    names = source.get("with_hidden_rows", [])
    if names:
        policy = "CREATE POLICY lakehouse ON {} FOR SELECT TO cdc USING (true);"
        statements = [
            "ALTER ROLE cdc BYPASSRLS;",
            "-- That takes a superuser. Without one, policies do, where no RESTRICTIVE one hides rows:",
            *(f"--   {policy.format(_quoted(name))}" for name in names),
        ]
        yield Need(
            f"row security hides rows of {', '.join(names)} from the role cdc: a snapshot would lack them",
            "\n".join(statements),
        )


def _identities(source: Mapping[str, Any]) -> Iterator[Need]:
    names = source.get("without_identity", [])
    if names:
        yield Need(
            "a long value that an update leaves alone would be missing in the event",
            "\n".join(f"ALTER TABLE {name} REPLICA IDENTITY FULL;" for name in names),
        )


def _publication(publication: Mapping[str, Any] | None, wanted: Wanted) -> Iterator[Need]:
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    tables = sorted({*wanted.tables, HEARTBEAT})
    listed = ", ".join(_quoted(name) for name in tables)
    create = f"CREATE PUBLICATION lakehouse FOR TABLE {listed} WITH ({options});"
    if not publication:
        yield Need("there is no publication 'lakehouse'", create)
    elif publication["all_tables"]:
        yield Need("the publication 'lakehouse' is for all tables", f"DROP PUBLICATION lakehouse;\n{create}")
    else:
        if not publication["is_whole"]:
            yield Need(
                "the publication 'lakehouse' leaves out operations, or names partitions",
                f"ALTER PUBLICATION lakehouse SET ({options});",
            )
        if publication["schemas"] or sorted(publication["tables"]) != tables:
            yield Need(
                f"the publication 'lakehouse' has {', '.join(publication['tables']) or 'no table'}",
                f"ALTER PUBLICATION lakehouse SET TABLE {listed};",
            )


def source_relations(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of interest that the source has, with what the role cdc may do there."""
    return source.get("relations") or {}
