#!/opt/cdc-lakehouse/tools/bin/python
"""Runs SQL on the Spark Thrift Server as the BI user.

Usage: lakehouse-sql "select …"    one statement, its result as CSV
       lakehouse-sql --json        the statements of a JSON list on standard input, one after the other;
                                   a JSON list of their results on standard output, each
                                   {columns: [{name, type}], rows: [[…]], seconds} or {error, seconds}
"""

import configparser
import csv
import json
import sys
import time

from pyhive import hive
from pyhive.exc import Error
from thrift.transport.TTransport import TTransportException

SETTINGS = "/etc/cdc-lakehouse/thrift/sql.ini"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not arguments[0].strip():
        print(
            'Usage: lakehouse-sql "select …", or lakehouse-sql --json with a list of them on stdin',
            file=sys.stderr,
        )
        return 2
    settings = configparser.ConfigParser(interpolation=None)
    try:
        with open(SETTINGS, encoding="utf-8") as file:  # noqa: PTH123
            settings.read_file(file)
    except PermissionError:
        print(f"Only root may read {SETTINGS}, where the password is: run it as root.", file=sys.stderr)
        return 1
    server = settings["thrift"]
    place = f"{server['host']}:{server['port']}"
    try:
        connection = hive.connect(
            server["host"],
            server.getint("port"),
            username=server["user"],
            password=server["password"],
            auth="LDAP",
        )
        if arguments[0] == "--json":
            json.dump(
                [as_json(connection, statement) for statement in json.load(sys.stdin)],
                sys.stdout,
                default=str,
            )
        else:
            write_csv(connection, arguments[0])
    except TTransportException as error:
        print(
            f"No access to the Thrift Server at {place}: {error}. See: systemctl status spark-thrift",
            file=sys.stderr,
        )
        return 1
    except Error as error:
        print(explain(error), file=sys.stderr)
        return 1
    return 0


def write_csv(connection: hive.Connection, statement: str) -> None:
    """The result of a statement, with a header."""
    cursor = connection.cursor()
    cursor.execute(statement)
    if cursor.description:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column[0] for column in cursor.description)
        writer.writerows(cursor)


def as_json(connection: hive.Connection, statement: str) -> dict[str, object]:
    """The result of a statement; what is wrong with one does not end the others."""
    began = time.monotonic()
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        columns = [
            {"name": name, "type": kind.removesuffix("_TYPE")} for name, kind, *_ in cursor.description or ()
        ]
        shown: dict[str, object] = {"columns": columns, "rows": cursor.fetchall() if columns else []}
    except Error as error:
        shown = {"error": explain(error)}
    finally:
        cursor.close()
    return {**shown, "seconds": round(time.monotonic() - began, 3)}


def explain(error: Error) -> str:
    """What the server says is wrong, without its stack trace."""
    status = getattr(error.args[0], "status", None) if error.args else None
    message = status.errorMessage if status else str(error)
    return str(message).split("\n\tat ")[0].removeprefix("Error running query: ").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
