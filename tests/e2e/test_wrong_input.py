"""Wrong input gives one clear error that names it and the way out, and leaves what runs alone."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import truth
from tests.e2e.running_lab import Lab, eventually

pytestmark = pytest.mark.usefixtures("no_traffic")

SCREEN = {"ANSIBLE_STDOUT_CALLBACK": "cdc.lakehouse.screen"}


def refused(lab: Lab, *arguments: str, playbook: str = "source") -> str:
    """Run a playbook that must fail before it changes anything; give its one complaint."""
    before = lab.units()
    with tempfile.TemporaryDirectory() as folder:
        environment = truth.environment(Path(folder)) | SCREEN
        done = lab.playbook(playbook, *arguments, check=False, environment=environment)
        (run,) = truth.runs(Path(folder), playbook)
    assert done.returncode != 0
    assert run.changed == frozenset()
    assert lab.units() == before
    (complaint,) = set(done.stderr.strip().splitlines())
    return complaint


def test_a_variable_out_of_range(lab: Lab) -> None:
    said = refused(lab, "--limit", "node1", "-e", "postgres_cdc_max_slot_wal_keep_size=lots")
    assert "postgres_cdc_max_slot_wal_keep_size is 'lots'" in said
    assert "4GB" in said


def test_too_little_memory(lab: Lab) -> None:
    said = refused(lab, "--limit", "node2", "-e", "lakehouse_node_memory_gib=2", playbook="site")
    assert "node2 has 2048 MB of memory" in said
    assert "lakehouse_memory_budget" in said


def test_a_schedule_that_is_none(lab: Lab) -> None:
    for schedule in ("sometimes", "06:00 Europe/Berlin"):
        said = refused(lab, "-e", json.dumps({"lakehouse_schedule": schedule}), playbook="site")
        assert f"lakehouse_schedule is '{schedule}'" in said
    assert "*:0/15" in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("thrift_executor_memory=lots", "thrift_executor_memory is 'lots'"),
        ("jupyter_idle_minutes=0", "jupyter_idle_minutes is 0"),
        (
            "pipeline_executor_memory=64g",
            "pipeline_executor_memory is 64g, for an executor of 2 cores, and no worker",
        ),
        ("thrift_executor_memory=64g", "thrift_executor_memory is 64g, and no worker"),
        ("pipeline_cores=64", "pipeline_cores is 64 and thrift_cores 1, together more than"),
    ],
)
def test_sizes_that_cannot_work(lab: Lab, setting: str, named: str) -> None:
    assert named in refused(lab, "-e", setting, playbook="site")


@pytest.mark.long
def test_an_index_of_packages_that_is_not_there(lab: Lab) -> None:
    """When the image of the object store is to be built."""
    environment = {**SCREEN, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    words = ["-e", "lab_store_image=cdc-lakehouse-store:none"]
    done = lab.playbook("../lab/store", *words, check=False, environment=environment)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]  # before it, pip's own words
    assert "image of the lab's object store could not be built" in said
    assert "Connection refused" in said or "No matching distribution" in said
    assert "GOPROXY" in said


@pytest.mark.long
def test_a_folder_without_dashboards(lab: Lab, tmp_path: Path) -> None:
    said = refused(lab, "-e", f"lakehouse_dashboards={tmp_path}", playbook="site")
    assert f"lakehouse_dashboards is '{tmp_path}'" in said


@pytest.mark.long
def test_two_hosts_for_a_part_that_is_one(lab: Lab, tmp_path: Path) -> None:
    more = tmp_path / "more.yml"
    more.write_text("pipeline: {hosts: {node3: }}\n", encoding="utf-8")
    said = refused(lab, "-i", str(more), playbook="site")
    assert "More than one host is in the inventory group pipeline" in said


@pytest.mark.long
def test_a_source_of_somebody_else_that_is_ours(lab: Lab) -> None:
    said = refused(lab, "-e", "lakehouse_source_address=db.example.com", playbook="site")
    assert "lakehouse_source_address is 'db.example.com'" in said
    assert "postgres_cdc_manage: false" in said


@pytest.mark.long
def test_a_masked_column_that_is_no_text(lab: Lab) -> None:
    tables = [{"name": "public.orders", "mask": ["amount"]}]
    said = refused(lab, "--limit", "node1", "-e", json.dumps({"lakehouse_tables": tables}))
    assert "'mask' of public.orders" in said
    assert "amount, which is numeric(12,2): only text, varchar and char can be hashed" in said


@pytest.mark.long
def test_a_password_that_is_too_short(lab: Lab) -> None:
    said = refused(lab, "--limit", "node1", "-e", "lakehouse_secret_postgres_cdc=abc")
    assert "postgres_cdc_password is shorter than 8 characters" in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("column", "named"), [("x int", "primary key"), ("x int primary key deferrable", "DEFERRABLE")]
)
def test_a_table_whose_rows_have_no_key_that_tells_them_apart(lab: Lab, column: str, named: str) -> None:
    lab.psql(f"create table public.keyless ({column})")
    try:
        tables = [{"name": "public.orders"}, {"name": "public.keyless"}]
        said = refused(lab, "--limit", "node1", "-e", json.dumps({"lakehouse_tables": tables}))
        assert "public.keyless" in said
        assert named in said
    finally:
        lab.psql("drop table public.keyless")


@pytest.mark.long
def test_a_snapshot_of_an_empty_table(lab: Lab) -> None:
    lab.psql("create table public.nothing (x int primary key); grant select on public.nothing to cdc")
    try:
        tables = {
            "lakehouse_tables": [{"name": "public.orders"}, {"name": "public.nothing"}],
            "resnapshot_tables": ["public.orders", "public.nothing"],
        }
        said = refused(lab, "-e", json.dumps(tables), playbook="resnapshot")
        assert said.startswith("public.nothing is empty in the source")
        assert "TRUNCATE" in said
    finally:
        lab.psql("drop table public.nothing")


@pytest.mark.parametrize(
    ("playbook", "asked"),
    [
        ("erase", {"erase_rows": {"public.fresh": [{"x": 1}]}}),
        ("resnapshot", {"resnapshot_tables": ["public.fresh"]}),
    ],
)
def test_a_table_that_is_declared_and_not_deployed(lab: Lab, playbook: str, asked: dict[str, object]) -> None:
    lab.psql("create table public.fresh (x int primary key); insert into public.fresh values (1), (2)")
    lab.psql("grant select on public.fresh to cdc")
    try:
        tables = [{"name": "public.orders"}, {"name": "public.fresh"}]
        said = refused(lab, "-e", json.dumps(asked | {"lakehouse_tables": tables}), playbook=playbook)
        assert f"{next(iter(asked))} has public.fresh" in said
        assert "Run site.yml first" in said
    finally:
        lab.psql("drop table public.fresh")


@pytest.mark.long
def test_two_tables_that_would_have_one_view(lab: Lab) -> None:
    tables = [{"name": "public.orders"}, {"name": "public.orders_history"}]
    said = refused(lab, "-e", json.dumps({"lakehouse_tables": tables}), playbook="site")
    assert "public.orders_history and public.orders would both have orders_history" in said


def test_a_port_that_is_taken(lab: Lab) -> None:
    lab.run("node3", "systemctl", "stop", "spark-worker")
    squatter = "import socket, time; s = socket.create_server(('', 7078)); time.sleep(600)"
    lab.run("node3", "systemd-run", "--collect", "--unit=squatter", "/usr/bin/python3", "-c", squatter)
    try:
        eventually("the port is taken", lambda: ":7078" in lab.run("node3", "ss", "-Hltn"))
        said = refused(lab, "--limit", "node3", playbook="site")
        assert "Port 7078 of node3" in said
        assert "python3" in said
    finally:
        lab.run("node3", "systemctl", "stop", "squatter")
        lab.run("node3", "systemctl", "start", "spark-worker")


@pytest.fixture
def corrupt_cache(tmp_path: Path) -> Iterator[Path]:
    """The cache of downloads, with one byte of one of Kafka's jars flipped."""
    cache = Path(os.environ.get("CDC_LAKEHOUSE_CACHE", Path.home() / ".cache/cdc-lakehouse"))
    for source in cache.rglob("*"):
        target = tmp_path / "cache" / source.relative_to(cache)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    jar = next((tmp_path / "cache").rglob("kafka-clients-4*.jar"))
    content = bytearray(jar.read_bytes())
    content[len(content) // 2] ^= 1
    jar.unlink()
    jar.write_bytes(content)
    yield tmp_path / "cache"


def test_a_corrupt_archive_in_the_cache(lab: Lab, corrupt_cache: Path) -> None:
    installed = lab.run("node1", "readlink", "/opt/cdc-lakehouse/kafka")
    said = refused(
        lab, "--limit", "node1", "-e", f"lakehouse_cache_dir={corrupt_cache}", "-e", "lakehouse_offline=true"
    )
    assert "kafka-clients" in said
    assert "SHA-256" in said
    assert lab.run("node1", "readlink", "/opt/cdc-lakehouse/kafka") == installed


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"column": "nickname", "not_null": True}, "column is 'nickname', which is no column of the table"),
        ({"column": "email", "matches": "(?P<x>a)"}, "matches is '(?P<x>a)', which is no regular expression"),
    ],
)
def test_a_wrong_quality_rule(lab: Lab, rule: dict[str, object], named: str) -> None:
    tables = [{"name": "public.customers", "quality": [rule]}]
    said = refused(lab, "-e", json.dumps({"lakehouse_tables": tables}), playbook="site")
    assert said.startswith("lakehouse_tables: public.customers: quality rule ")
    assert named in said
