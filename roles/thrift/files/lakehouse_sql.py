#!/opt/cdc-lakehouse/tools/bin/python
"""Runs one SQL statement on the Spark Thrift Server as the BI user and writes the result as CSV.

Usage: lakehouse-sql "select …"
"""

import configparser
import csv
import sys

from pyhive import hive
from pyhive.exc import Error
from thrift.transport.TTransport import TTransportException

SETTINGS = "/etc/cdc-lakehouse/thrift/sql.ini"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not arguments[0].strip():
        print('Usage: lakehouse-sql "select …"', file=sys.stderr)
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
        cursor = hive.connect(
            server["host"],
            server.getint("port"),
            username=server["user"],
            password=server["password"],
            auth="LDAP",
        ).cursor()
        cursor.execute(arguments[0])
        if cursor.description:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(column[0] for column in cursor.description)
            writer.writerows(cursor)
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


def explain(error: Error) -> str:
    """What the server says is wrong, without its stack trace."""
    status = getattr(error.args[0], "status", None) if error.args else None
    message = status.errorMessage if status else str(error)
    return str(message).split("\n\tat ")[0].removeprefix("Error running query: ").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
