"""The whole story on Google Cloud: its APIs are a stand-in, the VMs that it makes are the lab's nodes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import truth
from tests.e2e.running_lab import ROOT, Lab
from tests.gcp.cloud import Cloud
from tests.gcp.run import ansible
from tests.gcp.server import serve

pytestmark = pytest.mark.long


class LabCloud(Cloud):
    """A cloud whose VMs are the lab's containers."""

    def _do_start(self, resource: dict[str, Any], body: Any, query: Any) -> None:
        super()._do_start(resource, body, query)
        docker("start", resource["name"])

    def _do_stop(self, resource: dict[str, Any], body: Any, query: Any) -> None:
        super()._do_stop(resource, body, query)
        docker("stop", resource["name"])


def docker(action: str, node: str) -> None:
    patience = ["--time=60"] if action == "stop" else []
    subprocess.run(
        ["docker", action, *patience, f"cdc-lakehouse-{node}"], check=True, capture_output=True, timeout=120
    )


def running() -> set[str]:
    shown = subprocess.run(
        ["docker", "ps", "--format", "{{.Names}}", "--filter", "name=^cdc-lakehouse-node"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.removeprefix("cdc-lakehouse-") for name in shown.stdout.split()}


def settings(lab: Lab) -> dict[str, Any]:
    """What the nodes of the lab need beside the inventory of Google Cloud, which stays as it is."""
    theirs = yaml.safe_load((ROOT / "inventories" / "lab" / "group_vars" / "all.yml").read_text())
    nodes = yaml.safe_load((ROOT / "inventories" / "gcp" / "group_vars" / "all.yml").read_text())["gcp_nodes"]
    addresses = {name: lab.run(name, "hostname", "-i").split()[0] for name in lab.nodes}
    network = theirs["lab_network"]
    hosts_file = ROOT / ".lab" / "known_hosts"
    cache = Path(os.environ.get("CDC_LAKEHOUSE_CACHE") or Path.home() / ".cache" / "cdc-lakehouse")
    return {
        "gcp_create_project": True,
        "gcp_billing_account": "0A0A0A-0A0A0A-0A0A0A",
        "gcp_reach": "internal",
        "gcp_subnet_range": f"{network}.0/24",
        "gcp_nodes": [{**node, "address": addresses[node["name"]]} for node in nodes],
        "node_base_data_device": "",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(cache / "ssh" / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={hosts_file}",
        "lakehouse_offline": True,
        "lakehouse_tables": theirs["lakehouse_tables"],
        "lakehouse_storage_uri": theirs["lakehouse_storage_uri"],
        "lakehouse_storage_endpoint": f"http://{network}.10:4443",
    }


@pytest.fixture
def cloud(lab: Lab) -> Iterator[LabCloud]:
    """A cloud whose Secret Manager has the lab's secrets; the lab is as it was afterwards."""
    cloud = LabCloud()
    for secret in (ROOT / ".lab" / "secrets").iterdir():
        cloud.secrets[f"lakehouse-{secret.name.replace('_', '-')}"] = secret.read_text().strip()
    yield cloud
    for node in lab.nodes:
        docker("start", node)
    lab.make("up")


def test_from_an_empty_project_to_a_lakehouse_that_sleeps_at_night(
    lab: Lab, cloud: LabCloud, tmp_path: Path
) -> None:
    # A rule may have a date, which YAML reads as one.
    words = ["--inventory=inventories/gcp", f"--extra-vars={json.dumps(settings(lab), default=str)}"]
    with serve(cloud, tmp_path) as env:

        def play(name: str) -> str:
            done = ansible(
                "ansible-playbook",
                *words,
                f"playbooks/{name}.yml",
                env={**truth.environment(tmp_path / "changes"), **env},
            )
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
            return done.stdout

        play("provision")
        assert set(cloud.named("instances")) == set(lab.nodes)
        play("site")
        play("site")
        assert truth.runs(tmp_path / "changes", "site")[-1].changed == frozenset()

        play("stop_vms")
        assert running() == set()
        play("start_vms")
        assert running() == set(lab.nodes)
        assert "no difference" in play("verify")
        play("status")
    assert cloud.faults() == []
