"""The worked notebook on the lab's Jupyter server, with the lab's data."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e.running_lab import ROOT, Lab


@pytest.mark.long
def test_the_worked_notebook_tells_an_orders_history_as_silver_has_it(lab: Lab) -> None:
    script = (ROOT / "molecule" / "jupyter" / "run_notebook.py").read_text(encoding="utf-8")
    token = (ROOT / ".lab" / "secrets" / "jupyter").read_text(encoding="utf-8").strip()
    address = lab.run("node1", "hostname", "--ip-address")
    words = ["docker", "exec", "-i", "-e", "JUPYTER_TOKEN", "cdc-lakehouse-node1"]
    python = ["/opt/cdc-lakehouse/jupyter/bin/python", "-", f"http://{address}:8888"]
    done = subprocess.run(
        [*words, *python, "/opt/cdc-lakehouse/notebooks/order_history.ipynb"],
        input=script,
        env={"JUPYTER_TOKEN": token, "PATH": "/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    order = done.stdout.split("Order ")[1].split()[0]
    known = lab.sql(f"select version, status from silver.orders_history where order_id = {order}")
    for version in known:
        assert f"|{version['version']}" in done.stdout.replace(" ", "")
        assert version["status"] in done.stdout
