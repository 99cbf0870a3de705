"""The story on Google Cloud, as users run it: real playbooks and the real inventory plugin, on a stand-in."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests import truth
from tests.gcp.cloud import Cloud
from tests.gcp.run import ROOT, ansible
from tests.gcp.server import PROJECT, serve

pytestmark = pytest.mark.slow

ADMIN = "user:admin@example.com"
SETTINGS = {
    "gcp_admins": [ADMIN],
    "gcp_schedule_stop": "0 20 * * *",
    "gcp_max_run_hours": 12,
    "gcp_billing_account": "0A0A0A-0A0A0A-0A0A0A",
    "gcp_budget": 100,
    "gcp_spot": True,
}


@dataclass
class Story:
    """A cloud, what ran on it, and the requests that asked for a change in each run."""

    cloud: Cloud
    env: dict[str, str]
    folder: Path
    runs: list[truth.Run] = field(default_factory=list)
    mutations: list[list[str]] = field(default_factory=list)

    def play(self, name: str, *words: str, **variables: Any) -> CompletedProcess[str]:
        """Run a playbook of ours."""
        before = len(self.cloud.mutations())
        extra = f"--extra-vars={json.dumps({**SETTINGS, **variables})}"
        place = "--inventory=inventories/gcp"
        env = {**truth.environment(self.folder), **self.env}
        done = ansible("ansible-playbook", place, f"playbooks/{name}.yml", extra, *words, env=env)
        self.mutations.append(self.cloud.mutations()[before:])
        self.runs = truth.runs(self.folder, name)
        return done

    def inventory(self) -> dict[str, Any]:
        """Ask the inventory."""
        done = ansible(
            "ansible-inventory", "--inventory=inventories/gcp", "--list", env={**os.environ, **self.env}
        )
        assert done.returncode == 0, done.stderr
        listed: dict[str, Any] = json.loads(done.stdout)
        return listed


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Told: an empty project, a check, a run, the same again."""
    cloud = Cloud()
    cloud.add_project(PROJECT)
    del cloud.projects[PROJECT]["billing"]
    cloud.services[PROJECT].clear()
    with serve(cloud, tmp_path_factory.mktemp("gcp")) as env:
        told = Story(cloud, env, tmp_path_factory.mktemp("changes"))
        for words in (["--check", "--diff"], [], []):
            if len(told.mutations) == 1:
                # Not all of Google knows at once what was enabled.
                late = "storage.googleapis.com has not been used in project p before or it is disabled."
                cloud.refuse("storage.buckets.get", 403, "accessNotConfigured", late)
            done = told.play("provision", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        yield told
    assert cloud.faults() == []


def test_the_check_changes_nothing_and_tells_the_truth(story: Story) -> None:
    check, run, _again = truth.runs(story.folder, "provision")
    assert story.mutations[0] == []
    assert truth.lies(check, run, "provision") == []
    assert len(run.changed) >= 9


def test_the_second_run_changes_nothing(story: Story) -> None:
    assert truth.runs(story.folder, "provision")[2].changed == frozenset()
    assert story.mutations[2] == []


def test_external_access_that_lets_nobody_in_is_refused(story: Story) -> None:
    refused = story.play("provision", gcp_reach="external", gcp_external_addresses=True)
    assert refused.returncode != 0
    told = " ".join(refused.stdout.split())
    assert "gcp_reach is external and gcp_ssh_ranges is []" in told
    assert "or gcp_reach to iap" in told
    assert story.mutations[-1] == []


def test_nothing_is_open_to_the_internet(story: Story) -> None:
    rules = story.cloud.named("firewalls")
    assert {name: rule["sourceRanges"] for name, rule in rules.items()} == {
        "lakehouse-internal": ["10.0.0.0/24"],
        "lakehouse-iap": ["35.235.240.0/20"],
    }
    assert not any(
        vm["networkInterfaces"][0]["accessConfigs"] for vm in story.cloud.named("instances").values()
    )
    assert story.cloud.named("routers")["lakehouse"]["nats"]


def test_the_vms_are_as_settings_and_safety_want(story: Story) -> None:
    vms = story.cloud.named("instances")
    assert {name: vm["networkInterfaces"][0]["networkIP"] for name, vm in vms.items()} == {
        "node1": "10.0.0.11",
        "node2": "10.0.0.12",
        "node3": "10.0.0.13",
    }
    for name, vm in vms.items():
        assert vm["machineType"].endswith("/e2-standard-2")
        assert vm["scheduling"]["provisioningModel"] == "SPOT"
        assert vm["scheduling"]["instanceTerminationAction"] == "STOP"
        assert vm["scheduling"]["maxRunDuration"] == {"seconds": "43200"}
        assert vm["resourcePolicies"][0].endswith("/resourcePolicies/lakehouse")
        assert vm["shieldedInstanceConfig"]["enableSecureBoot"]
        assert {"key": "enable-oslogin", "value": "TRUE"} in vm["metadata"]["items"]
        assert [disk["autoDelete"] for disk in vm["disks"]] == [True, False]
        assert vm["disks"][1]["source"].endswith(f"/lakehouse-{name}-data")


def roles(story: Story, member: str, where: str = f"projects/{PROJECT}") -> set[str]:
    """The roles that a member has, on the project unless said otherwise."""
    return {one["role"] for one in story.cloud.policies[where]["bindings"] if member in one["members"]}


def test_the_nodes_have_the_least_roles(story: Story) -> None:
    identity = f"serviceAccount:lakehouse@{PROJECT}.iam.gserviceaccount.com"
    assert roles(story, identity, f"/storage/v1/b/{PROJECT}-lakehouse") == {
        "roles/storage.objectUser",
        "roles/storage.legacyBucketReader",
    }
    assert roles(story, identity) == {"roles/logging.logWriter"}


def starter(story: Story) -> str:
    """Whom Compute Engine starts and stops VMs as, by a schedule."""
    number = story.cloud.projects[PROJECT]["name"].partition("/")[2]
    return f"serviceAccount:service-{number}@compute-system.iam.gserviceaccount.com"


def test_the_schedule_may_start_and_stop_the_vms(story: Story) -> None:
    assert roles(story, starter(story)) == {"roles/compute.instanceAdmin.v1"}
    assert roles(story, ADMIN) == {"roles/compute.osAdminLogin", "roles/iap.tunnelResourceAccessor"}


def test_the_inventory_lists_running_vms_in_their_groups(story: Story) -> None:
    listed = story.inventory()
    assert listed["kafka"]["hosts"] == ["node1"]
    assert sorted(listed["spark_worker"]["hosts"]) == ["node2", "node3"]
    assert sorted(listed["lakehouse"]["hosts"]) == ["node1", "node2", "node3"]

    story.cloud.named("instances")["node3"]["status"] = "TERMINATED"
    listed = story.inventory()
    assert listed["spark_worker"]["hosts"] == ["node2"]
    assert "metastore" not in listed
    story.cloud.named("instances")["node3"]["status"] = "RUNNING"


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        (
            "iap",
            '10.0.0.12 10.0.0.12 ProxyCommand="gcloud compute start-iap-tunnel node2 22 --listen-on-stdin',
        ),
        ("internal", "10.0.0.12 10.0.0.12 direct"),
        ("external", "10.0.0.12 34.1.2.3 direct"),
    ],
)
def test_a_node_is_reached_as_the_settings_say(story: Story, reach: str, words: str) -> None:
    interface = story.cloud.named("instances")["node2"]["networkInterfaces"][0]
    interface["accessConfigs"] = [{"natIP": "34.1.2.3"}] if reach == "external" else []
    tunnel = "ansible_ssh_common_args | regex_search('ProxyCommand=.*') | default('direct', true)"
    ask = {"msg": f"{{{{ lakehouse_address }}}} {{{{ ansible_host }}}} {{{{ {tunnel} }}}}"}
    place = ["--inventory=inventories/gcp", f"--extra-vars=gcp_reach={reach}"]
    told = ansible(
        "ansible",
        "node2",
        *place,
        "--module-name=ansible.builtin.debug",
        f"--args={json.dumps(ask)}",
        env=story.env,
    )
    interface["accessConfigs"] = []
    assert words in " ".join(told.stdout.split())


def test_secrets_come_from_secret_manager(story: Story) -> None:
    settings = (ROOT / "inventories" / "gcp" / "group_vars" / "all.yml").read_text()
    names = re.findall(r"^lakehouse_secret_(\w+):", settings, re.MULTILINE)
    assert len(names) == 11
    story.cloud.secrets = {f"lakehouse-{name.replace('_', '-')}": f"{name} word" for name in names}
    held = {"that": [f"lakehouse_secret_{name} is match('.* word')" for name in names]}
    ask = {"msg": " / ".join(f"{{{{ lakehouse_secret_{name} }}}}" for name in names)}
    place = "--inventory=inventories/gcp"
    words = ("ansible", "node1", place, "--module-name=debug", f"--args={json.dumps(ask)}")
    told = ansible(*words, env=story.env)
    assert " / ".join(f"{name} word" for name in names) in " ".join(told.stdout.split())

    # Whoever looks for a cause sees no secret, neither as it is nor as Google sends it.
    quiet = ("ansible", "node1", place, "-vvv", "--module-name=assert", f"--args={json.dumps(held)}")
    seen = ansible(*quiet, env=story.env)
    assert seen.returncode == 0, seen.stdout
    for secret in story.cloud.secrets.values():
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            assert form not in seen.stdout + seen.stderr

    del story.cloud.secrets["lakehouse-spark"]
    none = ansible(*words, env=story.env)
    assert "Secret Manager has no secret lakehouse-spark in project" in " ".join(none.stdout.split())


def test_stop_and_start_and_what_it_costs(story: Story) -> None:
    # The VMs are no machines here: what happens on them is for a lab.
    assert story.play("stop_vms", "--limit=localhost").returncode == 0
    assert {vm["status"] for vm in story.cloud.named("instances").values()} == {"TERMINATED"}
    assert story.play("start_vms", "--limit=localhost").returncode == 0
    assert {vm["status"] for vm in story.cloud.named("instances").values()} == {"RUNNING"}

    story.cloud.spend = [{"service": "Compute Engine", "currency": "EUR", "cost": "12.5"}]
    story.cloud.services[PROJECT].add("bigquery.googleapis.com")
    told = story.play("cost", gcp_billing_export=f"{PROJECT}.bills.costs")
    assert told.returncode == 0, told.stdout
    assert "node2    e2-standard-2  spot  RUNNING" in told.stdout
    assert "Compute Engine" in told.stdout
    assert "12.50 EUR" in told.stdout

    def an_hour(**triggers: float) -> float:
        told = story.play("cost", **triggers)
        return float(re.findall(r"requests +([\d.]+) an hour", told.stdout)[0])

    # 120 batches of bronze, 120 of each of four tables, 60 of each of six models.
    class_a = 120 * 7 + 4 * 120 * 9 + 6 * 60 * 8
    class_b = 120 * 15 + 4 * 120 * 60 + 6 * 60 * 20
    usual = an_hour()
    assert usual == pytest.approx((class_a * 0.005 + class_b * 0.0004) / 1000, abs=1e-4)
    assert an_hour(pipeline_bronze_trigger=1.0, pipeline_silver_trigger=1.0) > 15 * usual


def test_nodes_that_cannot_be_drained_are_stopped_all_the_same(story: Story) -> None:
    nowhere = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": ""}
    done = story.play("stop_vms", **nowhere)
    vms = story.cloud.named("instances").values()
    assert {vm["status"] for vm in vms} == {"TERMINATED"}
    for vm in vms:
        vm["status"] = "RUNNING"
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert "node1: data-generator, jupyter, debezium, kafka, postgresql" in told
    assert "node3: metabase, spark-worker, postgresql" in told
    assert "Nothing is lost by that" in told


def test_each_node_shows_that_its_credentials_work(story: Story) -> None:
    local = {"ansible_connection": "local", "gcp_metadata_url": story.env["HTTPS_PROXY"]}
    story.env["SSL_CERT_FILE"] = story.env["REQUESTS_CA_BUNDLE"]
    story.cloud.vm_identity = "someone@else.iam.gserviceaccount.com"
    wrong = story.play("credentials", "--limit=node1", **local)
    assert wrong.returncode != 0
    assert "node1 is someone@else.iam.gserviceaccount.com" in " ".join(wrong.stdout.split())

    story.cloud.vm_identity = f"lakehouse@{PROJECT}.iam.gserviceaccount.com"
    right = story.play("credentials", **local)
    assert right.returncode == 0, right.stdout
    assert [record.authorization for record in story.cloud.log[-3:]] == ["Bearer ya29.vm"] * 3

    (policy,) = (value for name, value in story.cloud.policies.items() if "/b/" in name)
    granted = policy["bindings"]
    policy["bindings"] = [grant for grant in granted if grant["role"] != "roles/storage.objectUser"]
    reader = story.play("credentials", "--limit=node1", **local)
    policy["bindings"] = granted
    assert reader.returncode != 0
    told = " ".join(reader.stdout.split())
    assert "it lacks storage.objects.create, storage.objects.delete, storage.objects.get" in told, told
    assert "ya29" not in right.stdout + wrong.stdout + reader.stdout


def test_budget_and_schedule_go_with_their_settings(story: Story) -> None:
    assert [one["displayName"] for one in story.cloud.budgets.values()] == [f"{PROJECT} lakehouse"]
    done = story.play("provision", gcp_budget=0, gcp_schedule_stop="")
    assert done.returncode == 0, done.stdout
    assert story.cloud.budgets == {}
    assert story.cloud.named("resourcePolicies") == {}
    assert roles(story, starter(story)) == set()


def test_destroy_asks_first_and_keeps_the_data(story: Story) -> None:
    refused = story.play("destroy")
    assert refused.returncode != 0
    assert f"-e gcp_destroy={PROJECT}" in refused.stdout
    assert story.mutations[-1] == []

    bindings = story.cloud.policies[f"projects/{PROJECT}"]["bindings"]
    bindings.append({"role": "roles/compute.instanceAdmin.v1", "members": [starter(story)]})
    budget = f"billingAccounts/{SETTINGS['gcp_billing_account']}/budgets/1"
    story.cloud.budgets[budget] = {"displayName": f"{PROJECT} lakehouse", "name": budget}
    done = story.play("destroy", gcp_destroy=PROJECT, gcp_budget=0)
    assert done.returncode == 0, done.stdout
    assert story.cloud.budgets == {}
    assert roles(story, ADMIN) | roles(story, starter(story)) == set()
    kept = {path.rsplit("/", 2)[-2] + "/" + path.rsplit("/", 1)[1] for path in story.cloud.resources}
    assert kept == {
        f"b/{PROJECT}-lakehouse",
        "disks/lakehouse-node1-data",
        "disks/lakehouse-node2-data",
        "disks/lakehouse-node3-data",
    }
