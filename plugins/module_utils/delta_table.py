# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the ``delta_table`` module decides and does, without Ansible.

:class:`Catalog` reads what is registered; :func:`plan` names, for one table or view, the statements that make
it what is wanted. Both talk to a :class:`Server`; a real one is behind :class:`ThriftServer`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Columns = tuple[tuple[str, str], ...]

MISSING_LOG_ERRORS = (
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_TABLE_NOT_FOUND",
    "PATH_NOT_FOUND",
)


class CatalogError(Exception):
    """What was asked for cannot or must not be done; the message says why and names the way out."""


class MissingLogError(CatalogError):
    """There is no Delta table at a location."""


class StatementError(Exception):
    """The server refused a statement."""


@dataclass(frozen=True)
class Wanted:
    """A table (it has a location) or a view (a query) as the user wants it; with neither, it is not to be."""

    database: str
    name: str
    location: str | None = None
    query: str | None = None
    comment: str = ""

    @property
    def title(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def sql_name(self) -> str:
        return f"{quote_name(self.database)}.{quote_name(self.name)}"


@dataclass(frozen=True)
class Registered:
    """A table or view as the catalog has it."""

    kind: str
    provider: str = ""
    location: str = ""
    query: str = ""
    comment: str = ""
    schema_mode: str = ""
    columns: Columns = ()


@dataclass(frozen=True)
class Plan:
    """The statements that are needed, in order, and the object before and after them."""

    statements: Sequence[str] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warning: str = ""


class Server(Protocol):
    """What is needed of a Thrift Server."""

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement; its rows. Raises :class:`StatementError`."""

    def columns(self, database: str) -> dict[str, Columns]:
        """Names and types of the columns that the catalog itself holds, by table."""


class Catalog:
    """The registered databases, tables and views, each database read once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.databases = {str(row[0]).lower() for row in server.query("SHOW DATABASES")}
        self._tables: dict[str, dict[str, Registered]] = {}

    def get(self, database: str, name: str) -> Registered | None:
        """The table or view of that name, or None."""
        if database.lower() not in self.databases:
            return None
        if database not in self._tables:
            self._tables[database] = self._read(database)
        return self._tables[database].get(name.lower())

    def _read(self, database: str) -> dict[str, Registered]:
        rows = self._server.query(f"SHOW TABLE EXTENDED IN {quote_name(database)} LIKE '*'")
        columns = self._server.columns(database)
        return {
            name.lower(): parse_information(information, columns.get(name, ()))
            for _database, name, temporary, information in rows
            if not temporary
        }


def parse_information(text: str, columns: Columns) -> Registered:
    """Read the column ``information`` of SHOW TABLE EXTENDED.

    It is lines of ``Key: value``. A view's text, which may have several lines, stands there twice in a row.
    """
    view = re.search(r"^View Text: (.*?)\nView Original Text: \1$", text, re.DOTALL | re.MULTILINE)
    rest = text.replace(view.group(0), "") if view else text
    fields = dict(re.findall(r"^([A-Z][A-Za-z ]*): (.*)$", rest, re.MULTILINE))
    return Registered(
        kind=fields.get("Type", ""),
        provider=fields.get("Provider", "").lower(),
        location=fields.get("Location", ""),
        query=view.group(1) if view else "",
        comment=fields.get("Comment", ""),
        schema_mode=fields.get("View Schema Mode", ""),
        columns=columns,
    )


def plan(catalog: Catalog, server: Server, wanted: Wanted, check_mode: bool = False) -> Plan:
    """The statements that make a table or view what is wanted.

    Raises:
        MissingLogError: There is no Delta table at the location. In check mode it is a warning, since the run
            that follows may make it.
        CatalogError: A managed table is in the way, whose data would be deleted with it.
    """
    there = catalog.get(wanted.database, wanted.name)
    before = _shown(there)
    if wanted.query is not None:
        query = wanted.query.strip().rstrip(";").rstrip()
        as_wanted = Registered("VIEW", query=query, comment=wanted.comment, schema_mode="EVOLUTION")
        if before == _shown(as_wanted):
            return Plan(before=before, after=before)
        comment = f" COMMENT {quote_text(wanted.comment)}" if wanted.comment else ""
        create = f"CREATE OR REPLACE VIEW {wanted.sql_name}{comment} WITH SCHEMA EVOLUTION AS\n{query}"
        drop = [] if there is None or there.kind == "VIEW" else [_drop(wanted, there)]
        return Plan([*drop, create], before, _shown(as_wanted))
    if wanted.location is not None:
        return _plan_table(server, wanted, wanted.location, there, check_mode)
    return Plan([_drop(wanted, there)] if there else [], before, {})


def _plan_table(
    server: Server, wanted: Wanted, location: str, there: Registered | None, check_mode: bool
) -> Plan:
    before = _shown(there)
    warning = ""
    columns: Columns = ()
    try:
        columns = read_columns(server, location)
    except StatementError as error:
        if not is_missing_log(str(error)):
            raise
        warning = f"{wanted.title} cannot be registered: there is no Delta log at {location}."
        if not check_mode:
            raise MissingLogError(
                f"{warning} The pipeline makes its tables when it starts: does it run "
                "(systemctl status lakehouse-pipeline)? Otherwise correct the location."
            ) from error
    as_wanted = Registered("EXTERNAL", "delta", location, columns=columns)
    if before == _shown(as_wanted):
        return Plan(before=before, after=before)
    drop = [_drop(wanted, there)] if there else []
    create = f"CREATE TABLE {wanted.sql_name} USING DELTA LOCATION {quote_text(location)}"
    return Plan([*drop, create], before, _shown(as_wanted), warning)


def apply(server: Server, catalog: Catalog, database: str, statements: Sequence[str]) -> None:
    """Run statements, in a database that is made when it is missing."""
    if database.lower() not in catalog.databases:
        server.query(f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}")
        catalog.databases.add(database.lower())
    for statement in statements:
        server.query(statement)


def read_columns(server: Server, location: str) -> Columns:
    """Names and types of the columns of the Delta table at a location."""
    columns = []
    for name, kind, *_ in server.query(f"DESCRIBE TABLE delta.{quote_name(location)}"):
        if not name or name.startswith("#"):  # What follows is about partitioning and clustering.
            break
        columns.append((str(name), str(kind)))
    return tuple(columns)


def is_missing_log(message: str) -> bool:
    """Whether the server's message says that a location holds no Delta table."""
    return any(error in message for error in MISSING_LOG_ERRORS)


def normalize_location(location: str) -> str:
    """One spelling for a location: ``file:///a/`` and ``file:/a`` are the same."""
    return re.sub(r"^file:/+", "file:/", location).rstrip("/")


def normalize_columns(columns: Columns) -> list[str]:
    """One spelling for columns: the catalog's ``STRUCT<a: INT NOT NULL>`` is Delta's ``struct<a:int>``."""
    spare = re.compile(r"\s|`|not null")
    return [f"{name} {spare.sub('', kind.lower())}" for name, kind in columns]


def quote_name(name: str) -> str:
    """A name as an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _drop(wanted: Wanted, there: Registered) -> str:
    if there.kind == "VIEW":
        return f"DROP VIEW {wanted.sql_name}"
    if there.kind != "EXTERNAL":
        raise CatalogError(
            f"{wanted.title} is a managed table: dropping it would delete its data in {there.location}. "
            "Copy what you need of it, drop it by hand, and run again."
        )
    return f"DROP TABLE {wanted.sql_name}"


def _shown(registered: Registered | None) -> dict[str, Any]:
    """A table or view as a diff shows it."""
    if registered is None:
        return {}
    if registered.kind == "VIEW":
        return {
            "view": registered.query,
            "comment": registered.comment,
            "schema_mode": registered.schema_mode.lower(),
        }
    return {
        "table": registered.kind.lower(),
        "provider": registered.provider,
        "location": normalize_location(registered.location),
        "columns": normalize_columns(registered.columns),
    }


class ThriftServer:
    """A Spark Thrift Server, over PyHive."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        """Log in.

        Raises:
            CatalogError: The server does not answer, or refuses the user.
        """
        from pyhive import hive
        from thrift.transport.TTransport import TTransportException

        try:
            self._connection = hive.connect(host, port=port, username=user, password=password, auth="LDAP")
        except TTransportException as error:
            if "Bad status" in str(error):
                raise CatalogError(
                    f"The Thrift Server at {host}:{port} refuses the user '{user}'. "
                    "Is the password the one that the role thrift has set?"
                ) from error
            raise CatalogError(
                f"No Thrift Server answers at {host}:{port}: {error}. Look at its unit there: "
                "systemctl status spark-thrift; journalctl -u spark-thrift"
            ) from error
        # Delta then notes the columns in the catalog, where JDBC clients look for them.
        self.query("SET spark.databricks.delta.catalog.update.enabled=true")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        from pyhive.exc import OperationalError

        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        except OperationalError as error:
            status = getattr(error.args[0], "status", None) if error.args else None
            raise StatementError(status.errorMessage if status else str(error)) from error
        finally:
            cursor.close()

    def columns(self, database: str) -> dict[str, Columns]:
        from TCLIService import ttypes

        client = self._connection.client
        request = ttypes.TGetColumnsReq(
            sessionHandle=self._connection.sessionHandle, schemaName=database, tableName="%"
        )
        answer = client.GetColumns(request)
        if answer.operationHandle is None:
            raise StatementError(str(answer.status.errorMessage))
        found: dict[str, list[tuple[str, str]]] = {}
        while rows := self._fetch(answer.operationHandle):
            for schema, table, column, kind in rows:
                if schema.lower() == database.lower():  # An underscore in the name stands for any character.
                    found.setdefault(table, []).append((column, kind))
        client.CloseOperation(ttypes.TCloseOperationReq(operationHandle=answer.operationHandle))
        return {table: tuple(columns) for table, columns in found.items()}

    def _fetch(self, operation: Any) -> list[tuple[str, ...]]:
        """The next rows of GetColumns: schema, table, column and type."""
        from TCLIService import ttypes

        request = ttypes.TFetchResultsReq(operationHandle=operation, orientation=0, maxRows=1000)
        columns = self._connection.client.FetchResults(request).results.columns
        return list(zip(*(columns[index].stringVal.values for index in (1, 2, 3, 5)), strict=True))
