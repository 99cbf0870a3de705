"""The lab under its operators: a second run, planted drift, machines that stop."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests import truth
from tests.e2e.running_lab import Lab, eventually

UNIT = "/etc/systemd/system/data-generator.service"


def site(lab: Lab, folder: Path, *arguments: str) -> truth.Run:
    """Run site.yml and tell what it changed."""
    lab.playbook("site", *arguments, environment=truth.environment(folder))
    return truth.runs(folder, "site")[-1]


@pytest.mark.long
def test_check_on_bare_nodes_announces_what_is_changed_there(lab: Lab) -> None:
    if lab.on_bare_nodes is None:
        pytest.skip("the lab was there before")
    assert truth.lies(*lab.on_bare_nodes, "site") == []


def test_a_second_run_changes_nothing_and_restarts_nothing(lab: Lab, tmp_path: Path) -> None:
    before = lab.units()
    assert site(lab, tmp_path).changed == frozenset()
    assert lab.units() == before


@pytest.mark.long
def test_drift_is_announced_by_check_and_mended(lab: Lab, tmp_path: Path) -> None:
    """Each kind of object: a file, a unit, a topic's setting, a role, a publication, a registered table."""
    kafka = ("kafka-configs", "--bootstrap-server", "node1:9092", "--entity-type", "topics")
    topic = "cdc.public.products"
    retention = lab.run("node1", *kafka, "--entity-name", topic, "--describe")
    unit = lab.run("node1", "cat", UNIT)

    lab.run("node3", "sh", "-c", "echo '10.9.8.7 node1' >> /etc/hosts")
    lab.run(
        "node1",
        "sh",
        "-c",
        f"sed -i 's/^Description=.*/Description=Drift/' {UNIT} && systemctl daemon-reload && "
        "systemctl restart data-generator",
    )
    drifted = lab.run("node1", "systemctl", "show", "-p", "MainPID", "data-generator")
    lab.run("node1", *kafka, "--entity-name", topic, "--alter", "--add-config", "retention.ms=123456789")
    lab.psql("alter role shop_app createdb")
    lab.psql("alter publication lakehouse owner to postgres")
    lab.run("node2", "lakehouse-sql", "drop table gold.kpis")

    check = site(lab, tmp_path, "--check")
    planted = {"node1", "node2", "node3"}
    assert {host for host, _ in check.changed} >= planted
    run = site(lab, tmp_path)
    assert truth.lies(check, run, "site") == []

    assert "10.9.8.7" not in lab.run("node3", "cat", "/etc/hosts")
    assert lab.run("node1", "cat", UNIT) == unit
    assert lab.run("node1", "systemctl", "show", "-p", "MainPID", "data-generator") != drifted
    assert lab.run("node1", *kafka, "--entity-name", topic, "--describe") == retention
    assert lab.psql("select rolcreatedb from pg_roles where rolname = 'shop_app'") == [["f"]]
    assert lab.psql("select pubowner::regrole from pg_publication where pubname = 'lakehouse'") == [
        ["shop_owner"]
    ]
    assert lab.sql("select count(*) as days from gold.kpis")[0]["days"] != "0"
    assert site(lab, tmp_path, "--check").changed == frozenset()


def everything_goes_on(lab: Lab) -> None:
    """Healthy, with gold younger than now, and equal to the source."""
    ((now,),) = lab.psql("select extract(epoch from now())::bigint")
    eventually("a healthy status", lambda: lab.make("status", check=False).returncode == 0, timeout=900)
    newest = "select coalesce(max(unix_seconds(last_order_at)), 0) as at from gold.customer_value"
    eventually("an order placed now in gold", lambda: int(lab.sql(newest)[0]["at"]) > int(now))
    assert "no difference" in lab.make("verify").stdout


@pytest.mark.long
def test_silver_and_gold_on_a_schedule(lab: Lab, tmp_path: Path) -> None:
    on_schedule = ("-e", "lakehouse_schedule=Mon..Fri 03:00")
    lab.playbook("cluster", *on_schedule)
    try:
        assert lab.run("node2", "systemctl", "is-active", "lakehouse-batch.timer") == "active"
        again = lab.playbook("cluster", *on_schedule, environment=truth.environment(tmp_path))
        assert truth.runs(tmp_path, "cluster")[-1].changed == frozenset(), again.stdout
        ((product,),) = lab.psql(
            "insert into products (sku, name, category, price, active) "
            "values (clock_timestamp(), 'Waits', 'toys', 1, false) returning product_id"
        )
        event = f"select 1 from bronze.products where key like '%:{product}}}%'"
        current = f"select 1 from silver.products where product_id = {product}"
        eventually("its event in bronze", lambda: lab.sql(event))
        assert not lab.sql(current)
        lab.run("node2", "systemctl", "start", "lakehouse-batch")
        assert lab.sql(current)
        lab.psql(f"delete from products where product_id = {product}")
        assert "no difference" in lab.playbook("verify", *on_schedule).stdout
        lab.playbook("status", *on_schedule)
    finally:
        lab.playbook("cluster")
    assert lab.run("node2", "systemctl", "is-active", "lakehouse-batch.timer", check=False) == "inactive"
    everything_goes_on(lab)


@pytest.mark.long
def test_all_nodes_restarted_at_once_go_on(lab: Lab) -> None:
    subprocess.run(
        ["docker", "restart", *(f"cdc-lakehouse-{node}" for node in lab.nodes)], check=True, timeout=180
    )
    eventually("PostgreSQL is back", lambda: "accepting" in lab.run("node1", "pg_isready", check=False))
    everything_goes_on(lab)


@pytest.mark.long
def test_down_keeps_the_data_for_up(lab: Lab) -> None:
    orders = "select count(*) as orders from silver.orders_history"
    before = int(lab.sql(orders)[0]["orders"])
    lab.make("down")
    assert not subprocess.run(
        ["docker", "ps", "-q", "--filter", "name=^cdc-lakehouse-"], check=True, capture_output=True
    ).stdout
    lab.make("up")
    assert int(lab.sql(orders)[0]["orders"]) >= before > 0
    everything_goes_on(lab)


@pytest.mark.long
def test_while_nothing_changes_the_object_store_is_not_asked(lab: Lab) -> None:
    """For longer than the triggers of bronze and silver."""
    lab.run("node1", "systemctl", "stop", "data-generator")
    try:
        ((last,),) = lab.psql("select extract(epoch from now())")
        eventually("gold has all", lambda: lab.gold_as_of() > float(last))
        eventually("nobody is connected", lambda: not connected())
        before = connections_made()
        time.sleep(45)
        assert connections_made() == before
    finally:
        lab.run("node1", "systemctl", "start", "data-generator")


def store(name: str) -> str:
    """What the kernel tells of the object store's process."""
    words = ["docker", "inspect", "--format", "{{.State.Pid}}", "cdc-lakehouse-store"]
    process = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    return Path(f"/proc/{process}/{name}").read_text()


def connected() -> bool:
    """Whether anybody is connected to the object store."""
    return any(line.split()[3] == "01" for line in store("net/tcp6").splitlines()[1:])  # ESTABLISHED


def connections_made() -> int:
    """How many connections to the object store there have been."""
    names, values = (line.split() for line in store("net/snmp").splitlines() if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))["PassiveOpens"])
