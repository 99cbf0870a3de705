"""Two Spark writers append to one Delta table on the lab's object store: every commit is there.

Once with the lab's settings, and once with those of a virtual machine: the connector takes its credentials
from the metadata server.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.running_lab import Lab
from tools.store_requests import STORE

pytestmark = pytest.mark.usefixtures("no_traffic")

SERVICE_ACCOUNT = Path(__file__).with_name("service_account.py").read_text()

SECONDS = 60
PROGRAM = """
import json, sys, time
from pyspark.sql import SparkSession, functions as F

writer, table, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
spark = SparkSession.builder.getOrCreate()


def append(number):
    rows = spark.range(5).withColumn("writer", F.lit(writer)).withColumn("number", F.lit(number))
    rows.coalesce(1).write.format("delta").mode("append").save(table)


if writer == "make":
    append(0)
elif writer == "count":
    rows = spark.read.format("delta").load(table)
    told = {row.writer: [row.numbers, row.rows] for row in rows.groupBy("writer").agg(
        F.sort_array(F.collect_set("number")).alias("numbers"), F.count("*").alias("rows")).collect()}
    print(json.dumps(told))
else:
    done, end = [], time.time() + seconds
    while time.time() < end or len(done) < 10:
        append(len(done))
        done.append(len(done))
    print(json.dumps(done))
"""


@pytest.fixture
def program(lab: Lab) -> Iterator[str]:
    """The program's file on node3."""
    path = f"/root/two-writers-{uuid.uuid4().hex}.py"
    lab.run("node3", "tee", path, stdin=PROGRAM)
    yield path
    lab.run("node3", "rm", path)


@dataclass(frozen=True)
class Access:
    """How a Spark program reaches the store."""

    settings: list[str] = field(default_factory=list)
    """Words for spark-submit."""
    environment: list[str] = field(default_factory=list)
    """Words for docker exec."""


@pytest.fixture
def service_account(lab: Lab) -> Iterator[Access]:
    """A service account on node3, as a virtual machine has one. The store let in nobody without it."""
    command = ["docker", "exec", "-i", "cdc-lakehouse-node3", "python3", "-c", SERVICE_ACCOUNT, STORE]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        address = f"127.0.0.1:{int(process.stdout.readline())}"
        try:
            yield Access(
                [
                    *("--conf", "spark.hadoop.fs.gs.auth.type=COMPUTE_ENGINE"),
                    *("--conf", f"spark.hadoop.fs.gs.storage.root.url=http://{address}/"),
                ],
                ["-e", f"GCE_METADATA_HOST={address}"],
            )
        finally:
            process.stdin.close()
            tally = json.loads(process.stdout.read())
    assert tally["refused"] == 0
    assert tally["tokens"] > 0
    assert tally["admitted"] > 100


def start(program: str, writer: str, table: str, access: Access) -> subprocess.Popen[str]:
    """Start a Spark program of its own on node3, with the settings that the worker there has."""
    command = [
        *("docker", "exec", "-e", "SPARK_CONF_DIR=/etc/cdc-lakehouse/spark-worker", *access.environment),
        *("cdc-lakehouse-node3", "/opt/cdc-lakehouse/spark/bin/spark-submit"),
        *("--master", "local[1]", "--driver-memory", "700m", "--conf", "spark.ui.enabled=false"),
        *(*access.settings, program, writer, table, str(SECONDS)),
    ]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[str]) -> str:
    """Await a program and give what it printed last."""
    printed, complained = process.communicate(timeout=300)
    assert process.returncode == 0, complained[-4000:]
    return printed.splitlines()[-1] if printed else ""


def check_two_writers(program: str, access: Access) -> None:
    """Let two write to a new table for a while: every commit of both is there."""
    table = f"gs://lakehouse/_tests/two-writers-{uuid.uuid4().hex}"
    end(start(program, "make", table, access))
    writers = {name: start(program, name, table, access) for name in ("one", "two")}
    done = {name: json.loads(end(process)) for name, process in writers.items()}
    assert all(len(numbers) > 5 for numbers in done.values())
    found = json.loads(end(start(program, "count", table, access)))
    assert {name: found[name] for name in done} == {
        name: [numbers, 5 * len(numbers)] for name, numbers in done.items()
    }


def test_no_commit_of_two_writers_is_lost(program: str) -> None:
    check_two_writers(program, Access())


@pytest.mark.long
def test_no_commit_of_two_writers_with_a_service_account_is_lost(
    program: str, service_account: Access
) -> None:
    check_two_writers(program, service_account)
