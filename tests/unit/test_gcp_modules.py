"""The modules for Google Cloud, on a stand-in that Google's own descriptions of its APIs drive."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp

from tests.gcp.cloud import Cloud
from tests.gcp.run import Module, module_runner, run_main
from tests.gcp.server import EMAIL, PROJECT, serve

REGION, ZONE = "europe-west3", "europe-west3-a"
BASE = f"projects/{PROJECT}"
NETWORK = f"{BASE}/global/networks/lake"
SUBNET = f"{BASE}/regions/{REGION}/subnetworks/lake"
POLICY = f"{BASE}/regions/{REGION}/resourcePolicies/nightly"
NODES = f"nodes@{PROJECT}.iam.gserviceaccount.com"
APIS = {"compute.googleapis.com", "storage.googleapis.com", "iam.googleapis.com"}

RESOURCES: list[dict[str, Any]] = [
    {
        "kind": "network",
        "name": "lake",
        "spec": {"autoCreateSubnetworks": False, "routingConfig": {"routingMode": "REGIONAL"}},
    },
    {
        "kind": "subnetwork",
        "name": "lake",
        "location": REGION,
        "spec": {"network": NETWORK, "ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": True},
    },
    {
        "kind": "firewall",
        "name": "ssh",
        "spec": {
            "network": NETWORK,
            "direction": "INGRESS",
            "sourceRanges": ["10.1.0.0/16", "10.2.0.0/16"],
            "targetTags": ["lake"],
            "sourceTags": [],
            "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}, {"IPProtocol": "udp"}],
            "disabled": False,
        },
    },
    {
        "kind": "address",
        "name": "node1",
        "location": REGION,
        "spec": {"addressType": "INTERNAL", "address": "10.0.0.11", "subnetwork": SUBNET},
    },
    {
        "kind": "router",
        "name": "lake",
        "location": REGION,
        "spec": {
            "network": NETWORK,
            "nats": [
                {
                    "name": "lake",
                    "natIpAllocateOption": "AUTO_ONLY",
                    "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
                }
            ],
        },
    },
    {
        "kind": "disk",
        "name": "node1-data",
        "location": ZONE,
        "spec": {
            "sizeGb": "50",
            "type": f"{BASE}/zones/{ZONE}/diskTypes/pd-balanced",
            "labels": {"app": "lake"},
        },
    },
    {"kind": "service_account", "name": "nodes", "spec": {"displayName": "Nodes"}},
    {
        "kind": "bucket",
        "name": "delta",
        "spec": {
            "location": "EUROPE-WEST3",
            "storageClass": "STANDARD",
            "labels": {"app": "lake"},
            "iamConfiguration": {
                "publicAccessPrevention": "enforced",
                "uniformBucketLevelAccess": {"enabled": True},
            },
            "softDeletePolicy": {"retentionDurationSeconds": "604800"},
            "versioning": {"enabled": False},
            "lifecycle": {
                "rule": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}}]
            },
        },
    },
]
STANDARD = {
    "provisioningModel": "STANDARD",
    "preemptible": False,
    "automaticRestart": True,
    "onHostMaintenance": "MIGRATE",
    "instanceTerminationAction": None,
    "maxRunDuration": None,
}
SPOT = {
    "provisioningModel": "SPOT",
    "preemptible": True,
    "automaticRestart": False,
    "onHostMaintenance": "TERMINATE",
    "instanceTerminationAction": "STOP",
    "maxRunDuration": {"seconds": "28800"},
}
VM: dict[str, Any] = {
    "machineType": f"{BASE}/zones/{ZONE}/machineTypes/e2-standard-2",
    "labels": {"app": "lake", "lakehouse_kafka": "true"},
    "tags": {"items": ["lake"]},
    "metadata": {"items": [{"key": "enable-oslogin", "value": "TRUE"}]},
    "disks": [
        {
            "boot": True,
            "autoDelete": True,
            "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"},
        },
        {"source": f"{BASE}/zones/{ZONE}/disks/node1-data", "deviceName": "data", "autoDelete": False},
    ],
    "networkInterfaces": [{"subnetwork": SUBNET, "networkIP": "10.0.0.11", "accessConfigs": []}],
    "serviceAccounts": [{"email": NODES, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
    "shieldedInstanceConfig": {
        "enableSecureBoot": True,
        "enableVtpm": True,
        "enableIntegrityMonitoring": True,
    },
    "scheduling": STANDARD,
}
PRICES = {"machines": {}, "disks": {}, "external_address": 0, "nat": 0, "class_a": 0, "class_b": 0}
EXPORT = f"{PROJECT}.bills.gcp_billing_export_v1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, dict[str, str]]]:
    """A cloud behind TLS, and the environment that leads there."""
    cloud = Cloud()
    with serve(cloud, tmp_path_factory.mktemp("gcp")) as environment:
        yield cloud, environment


@pytest.fixture
def cloud(served: tuple[Cloud, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty project in it. No request that a test makes may break Google's description."""
    cloud, environment = served
    cloud.__init__()  # type: ignore[misc]
    cloud.add_project(PROJECT, services=APIS)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gcp.time, "sleep", lambda seconds: None)
    yield cloud
    assert cloud.faults() == []


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Module:
    """Runs a module."""
    return module_runner(capsys)


@pytest.fixture
def vm(cloud: Cloud, run: Module) -> Callable[..., dict[str, Any]]:
    """Runs gcp_instance for node1, in a project that has all that it needs."""
    run("gcp_resources", resources=RESOURCES)

    def bring(**options: Any) -> dict[str, Any]:
        return run("gcp_instance", name="node1", zone=ZONE, **options)

    return bring


def changed(result: dict[str, Any]) -> bool:
    """Whether it changed something; it must not have failed."""
    assert not result.get("failed"), result["msg"]
    return bool(result["changed"])


# --- from nothing, again, and in check mode ---


def test_resources_from_nothing_then_again(cloud: Cloud, run: Module) -> None:
    announced = run("gcp_resources", check=True, resources=RESOURCES)
    assert cloud.mutations() == []

    done = run("gcp_resources", resources=RESOURCES)
    assert changed(done)
    assert done["changes"] == announced["changes"]
    assert set(cloud.named("firewalls")) == {"ssh"}
    assert cloud.named("b")["delta"]["iamConfiguration"]["publicAccessPrevention"] == "enforced"

    assert not changed(run("gcp_resources", resources=RESOURCES))


def test_a_vm_from_nothing_then_again(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    before = len(cloud.mutations())
    assert changed(vm(check=True, spec=VM))
    assert len(cloud.mutations()) == before

    assert vm(spec=VM)["status"] == "RUNNING"
    assert not changed(vm(spec=VM))


def test_what_is_not_wanted_goes_and_stays_away(cloud: Cloud, run: Module) -> None:
    run("gcp_resources", resources=RESOURCES)
    gone = [{**one, "state": "absent"} for one in reversed(RESOURCES)]
    assert changed(run("gcp_resources", check=True, resources=gone))
    assert cloud.resources
    assert changed(run("gcp_resources", resources=gone))
    assert not cloud.resources
    assert not changed(run("gcp_resources", resources=gone))


def test_check_mode_in_a_project_that_is_still_to_be_made(cloud: Cloud, run: Module) -> None:
    cloud.projects.clear()
    grant = {"bucket": "delta", "role": "roles/storage.objectUser", "members": ["user:a@example.com"]}
    assert changed(run("gcp_project", check=True, create=True, billing_account="0A-0B-0C"))
    assert changed(run("gcp_services", check=True, services=["compute.googleapis.com"]))
    assert changed(run("gcp_resources", check=True, resources=RESOURCES))
    assert changed(
        run(
            "gcp_iam", check=True, grants=[grant, {"role": "roles/viewer", "members": ["user:a@example.com"]}]
        )
    )
    assert changed(run("gcp_instance", check=True, name="node1", zone=ZONE, spec=VM))
    assert cloud.mutations() == []


def test_a_project_is_made_and_paid_for_once(cloud: Cloud, run: Module) -> None:
    cloud.projects.clear()
    assert changed(run("gcp_project", create=True, parent="folders/1", billing_account="0A-0B-0C"))
    assert cloud.projects[PROJECT]["billing"] == "billingAccounts/0A-0B-0C"
    assert cloud.projects[PROJECT]["parent"] == "folders/1"
    assert not changed(run("gcp_project", create=True, billing_account="0A-0B-0C"))


def test_apis_are_enabled_once(cloud: Cloud, run: Module) -> None:
    wanted = ["compute.googleapis.com", "oslogin.googleapis.com"]
    assert run("gcp_services", services=wanted)["enabled"] == ["oslogin.googleapis.com"]
    assert not changed(run("gcp_services", services=wanted))


# --- drift ---

MENDED = [
    pytest.param("networks/lake", {"routingConfig": {"routingMode": "GLOBAL"}}, id="network-routing"),
    pytest.param("subnetworks/lake", {"privateIpGoogleAccess": False}, id="subnet-private-access"),
    pytest.param("subnetworks/lake", {"ipCidrRange": "10.0.0.0/26"}, id="subnet-too-small"),
    pytest.param("firewalls/ssh", {"sourceRanges": ["0.0.0.0/0"]}, id="firewall-opened-to-all"),
    pytest.param(
        "firewalls/ssh", {"sourceRanges": ["10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"]}, id="firewall-one-more"
    ),
    pytest.param("firewalls/ssh", {"allowed": [{"IPProtocol": "all"}]}, id="firewall-ports"),
    pytest.param(
        "firewalls/ssh",
        {"allowed": [{"IPProtocol": "tcp", "ports": ["22"]}, {"IPProtocol": "udp", "ports": ["53"]}]},
        id="firewall-narrowed",
    ),
    pytest.param("firewalls/ssh", {"targetTags": []}, id="firewall-targets"),
    pytest.param("firewalls/ssh", {"sourceTags": ["web"]}, id="firewall-opened-to-a-tag"),
    pytest.param("firewalls/ssh", {"disabled": True}, id="firewall-off"),
    pytest.param("routers/lake", {"nats": []}, id="no-nat"),
    pytest.param("disks/node1-data", {"sizeGb": "20"}, id="disk-too-small"),
    pytest.param("disks/node1-data", {"labels": {}}, id="disk-labels"),
    pytest.param(
        "b/delta", {"iamConfiguration": {"publicAccessPrevention": "inherited"}}, id="bucket-public"
    ),
    pytest.param("b/delta", {"versioning": {"enabled": True}}, id="bucket-versioning"),
    pytest.param(
        "b/delta", {"softDeletePolicy": {"retentionDurationSeconds": "0"}}, id="bucket-no-soft-delete"
    ),
    pytest.param("b/delta", {"lifecycle": {"rule": []}}, id="bucket-lifecycle"),
    pytest.param(
        "b/delta",
        {
            "lifecycle": {
                "rule": [
                    {
                        "action": {"type": "AbortIncompleteMultipartUpload"},
                        "condition": {"age": 1, "matchesPrefix": ["gold/"]},
                    }
                ]
            }
        },
        id="bucket-lifecycle-narrowed",
    ),
    pytest.param("b/delta", {"labels": {"app": "lake", "team": "web"}}, id="bucket-label-too-many"),
    pytest.param(f"serviceAccounts/{NODES}", {"displayName": "x"}, id="account-name"),
]


def drift(cloud: Cloud, where: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Change a resource behind the module's back; what it was before."""
    collection, name = where.split("/")
    resource = cloud.named(collection)[name]
    before = {key: copy.deepcopy(resource.get(key)) for key in fields}
    resource.update(copy.deepcopy(fields))
    return before


@pytest.mark.parametrize(("where", "fields"), MENDED)
def test_drift_is_found_and_mended(cloud: Cloud, run: Module, where: str, fields: dict[str, Any]) -> None:
    run("gcp_resources", resources=RESOURCES)
    wanted = drift(cloud, where, fields)
    before = len(cloud.mutations())

    announced = run("gcp_resources", check=True, resources=RESOURCES)
    assert changed(announced)
    assert set(announced["diff"][0]["after"]) == set(fields)
    assert len(cloud.mutations()) == before

    assert run("gcp_resources", resources=RESOURCES)["changes"] == announced["changes"]
    collection, name = where.split("/")
    now = cloud.named(collection)[name]
    for key, value in wanted.items():
        assert now[key] == value or set(map(str, now[key])) == set(map(str, value))
    assert not changed(run("gcp_resources", resources=RESOURCES))


VM_MENDED = [
    pytest.param(
        {"labels": {"app": "lake", "lakehouse_kafka": "true", "lakehouse_spark_worker": "true"}},
        False,
        id="one-group-too-many",
    ),
    pytest.param({"tags": {"items": ["web"], "fingerprint": "1"}}, False, id="tags"),
    pytest.param(
        {"metadata": {"items": [{"key": "enable-oslogin", "value": "FALSE"}], "fingerprint": "1"}},
        False,
        id="no-os-login",
    ),
    pytest.param({"machineType": f"{BASE}/zones/{ZONE}/machineTypes/e2-small"}, True, id="machine-type"),
    pytest.param({"scheduling": SPOT}, True, id="spot"),
    pytest.param({"shieldedInstanceConfig": {"enableSecureBoot": False}}, True, id="not-shielded"),
    pytest.param({"serviceAccounts": []}, True, id="no-account"),
]


@pytest.mark.parametrize(("fields", "needs_stop"), VM_MENDED)
def test_drift_of_a_vm_is_mended_and_a_stop_asked_for(
    cloud: Cloud, vm: Callable[..., dict[str, Any]], fields: dict[str, Any], needs_stop: bool
) -> None:
    vm(spec=VM)
    drift(cloud, "instances/node1", fields)
    before = len(cloud.mutations())
    assert changed(vm(check=True, spec=VM, allow_stop=True))
    if needs_stop:
        refused = vm(spec=VM)
        assert "must be stopped" in refused["msg"]
        assert next(iter(fields)) in refused["msg"]
        assert "gcp_allow_stop" in refused["msg"]
    assert len(cloud.mutations()) == before

    assert vm(spec=VM, allow_stop=True)["status"] == "RUNNING"
    assert ("compute.instances.stop" in cloud.mutations()) == needs_stop
    assert not changed(vm(spec=VM))


def test_an_external_address_is_given_and_taken(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    outside = copy.deepcopy(VM)
    outside["networkInterfaces"][0]["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "external"}]
    vm(spec=VM)
    for spec, addresses in ((outside, 1), (VM, 0)):
        assert changed(vm(spec=spec))
        assert len(cloud.named("instances")["node1"]["networkInterfaces"][0]["accessConfigs"]) == addresses
        assert not changed(vm(spec=spec))


def test_a_detached_data_disk_is_attached_again(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    del cloud.named("instances")["node1"]["disks"][1]
    assert changed(vm(spec=VM))
    assert cloud.named("instances")["node1"]["disks"][1]["source"].endswith("disks/node1-data")
    assert not changed(vm(spec=VM))


@pytest.mark.parametrize(("index", "wanted"), [(0, True), (1, False)])
def test_the_disk_that_goes_with_the_vm_is_the_right_one(
    cloud: Cloud, vm: Callable[..., dict[str, Any]], index: int, wanted: bool
) -> None:
    vm(spec=VM)
    disk = cloud.named("instances")["node1"]["disks"][index]
    disk["autoDelete"] = not wanted
    assert changed(vm(check=True, spec=VM))
    assert changed(vm(spec=VM))
    assert disk["autoDelete"] == wanted
    assert not changed(vm(spec=VM))


def test_a_data_disk_under_another_device_name_is_refused(
    cloud: Cloud, vm: Callable[..., dict[str, Any]]
) -> None:
    vm(spec=VM)
    cloud.named("instances")["node1"]["disks"][1]["deviceName"] = "persistent-disk-1"
    before = len(cloud.mutations())
    for check in (True, False):
        message = vm(check=check, spec=VM)["msg"]
        assert "deviceName is 'persistent-disk-1', not 'data'" in message
        assert f"gcloud compute instances detach-disk node1 --disk node1-data --zone {ZONE}" in message
    assert len(cloud.mutations()) == before


def test_the_disk_that_a_vm_starts_from_grows_and_does_not_shrink(
    cloud: Cloud, vm: Callable[..., dict[str, Any]]
) -> None:
    def sized(gb: int) -> dict[str, Any]:
        spec = copy.deepcopy(VM)
        spec["disks"][0]["initializeParams"]["diskSizeGb"] = str(gb)
        return spec

    vm(spec=sized(20))
    before = len(cloud.mutations())
    announced = vm(check=True, spec=sized(30))
    assert changed(announced)
    assert announced["diff"]["after"] == {"disk node1": {"sizeGb": "30"}}
    assert "has 20 GB and cannot shrink to 10. Set 20 or more" in vm(check=True, spec=sized(10))["msg"]
    assert "gcp_boot_disk_gb" in vm(spec=sized(10))["msg"]
    assert len(cloud.mutations()) == before

    assert changed(vm(spec=sized(30)))
    assert cloud.named("disks")["node1"]["sizeGb"] == "30"
    assert not changed(vm(spec=sized(30)))


REFUSED = [
    pytest.param(
        "subnetworks/lake",
        {"network": f"{BASE}/global/networks/other"},
        "network is",
        id="subnet-of-another-network",
    ),
    pytest.param(
        "firewalls/ssh",
        {"direction": "EGRESS"},
        "direction is 'EGRESS', not 'INGRESS'",
        id="firewall-direction",
    ),
    pytest.param(
        "addresses/node1", {"address": "10.0.0.99"}, "address is '10.0.0.99', not '10.0.0.11'", id="address"
    ),
    pytest.param("disks/node1-data", {"type": "pd-ssd"}, "type is 'pd-ssd'", id="disk-type"),
    pytest.param(
        "disks/node1-data", {"sizeGb": "100"}, "has 100 GB and cannot shrink to 50", id="disk-too-large"
    ),
    pytest.param(
        "subnetworks/lake",
        {"ipCidrRange": "10.0.0.0/16"},
        "10.0.0.0/16, which 10.0.0.0/24 does not contain",
        id="subnet-too-large",
    ),
    pytest.param("b/delta", {"location": "US"}, "location is 'US', not 'EUROPE-WEST3'", id="bucket-location"),
    pytest.param(
        "networks/lake",
        {"autoCreateSubnetworks": True},
        "autoCreateSubnetworks is True, not False",
        id="auto-network",
    ),
]


@pytest.mark.parametrize(("where", "fields", "words"), REFUSED)
def test_what_cannot_change_is_refused_before_anything_changes(
    cloud: Cloud, run: Module, where: str, fields: dict[str, Any], words: str
) -> None:
    run("gcp_resources", resources=RESOURCES)
    drift(cloud, where, fields)
    drift(cloud, "firewalls/ssh", {"targetTags": []})
    before = len(cloud.mutations())
    for check in (True, False):
        result = run("gcp_resources", check=check, resources=RESOURCES)
        assert words in result["msg"]
    assert len(cloud.mutations()) == before


def test_another_address_of_a_vm_is_refused(vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    moved = copy.deepcopy(VM)
    moved["networkInterfaces"][0]["networkIP"] = "10.0.0.99"
    message = vm(spec=moved)["msg"]
    assert "networkIP is '10.0.0.11', not '10.0.0.99'" in message
    assert "its data disk stays" in message


# --- power, Spot, schedules ---


def test_stop_and_start_wait_and_are_done_once(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    for state, status in (("stopped", "TERMINATED"), ("running", "RUNNING")):
        assert changed(vm(check=True, state=state))
        result = vm(state=state)
        assert changed(result)
        assert result["status"] == status
        assert not changed(vm(state=state))


def test_provisioning_leaves_a_stopped_vm_stopped(vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    vm(state="stopped")
    result = vm(spec=VM)
    assert not changed(result)
    assert result["status"] == "TERMINATED"


def test_there_is_no_starting_what_is_not_there(vm: Callable[..., dict[str, Any]]) -> None:
    assert "no VM node1 in europe-west3-a. Make it with playbooks/provision.yml" in vm(state="running")["msg"]


def test_to_spot_and_back_keeps_the_disks(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    disks = copy.deepcopy(cloud.named("instances")["node1"]["disks"])
    for scheduling in (SPOT, STANDARD):
        spec = {**VM, "scheduling": scheduling}
        assert vm(spec=spec, allow_stop=True)["status"] == "RUNNING"
        now = cloud.named("instances")["node1"]
        assert {k: now["scheduling"].get(k) for k in scheduling} == scheduling
        assert now["disks"] == disks
    assert "compute.instances.delete" not in cloud.mutations()


def test_the_data_disk_outlives_its_vm(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    vm(spec=VM)
    assert changed(vm(state="absent"))
    assert set(cloud.named("disks")) == {"node1-data"}


def test_a_schedule_is_made_changed_and_taken_away(
    cloud: Cloud, run: Module, vm: Callable[..., dict[str, Any]]
) -> None:
    def schedule(**options: Any) -> dict[str, Any]:
        return run("gcp_instance_schedule", name="nightly", region=REGION, **options)

    assert changed(schedule(stop="0 20 * * *", time_zone="Europe/Berlin"))
    for node in ("node1", "node2", "node3"):  # more than a page of a list
        disk = {"source": f"{BASE}/zones/{ZONE}/disks/{node}-data"}
        spec = {**VM, "disks": VM["disks"][:1], "resourcePolicies": [POLICY]}
        assert changed(run("gcp_instance", name=node, zone=ZONE, spec=spec)), disk
        assert not changed(run("gcp_instance", name=node, zone=ZONE, spec=spec))
    assert not changed(schedule(stop="0 20 * * *", time_zone="Europe/Berlin"))

    assert changed(schedule(check=True, stop="0 21 * * *", time_zone="Europe/Berlin"))
    assert schedule(stop="0 21 * * *", time_zone="Europe/Berlin")["instances"] == ["node1", "node2", "node3"]
    policy = cloud.named("resourcePolicies")["nightly"]["instanceSchedulePolicy"]
    assert policy["vmStopSchedule"] == {"schedule": "0 21 * * *"}
    assert all(vm_["resourcePolicies"][0].endswith("/nightly") for vm_ in cloud.named("instances").values())

    assert changed(schedule(state="absent"))
    assert not cloud.named("resourcePolicies")
    assert not any(vm_["resourcePolicies"] for vm_ in cloud.named("instances").values())


# --- grants and budgets ---

GRANTS = [
    {"bucket": "delta", "role": "roles/storage.objectUser", "members": [f"serviceAccount:{NODES}"]},
    {"role": "roles/logging.logWriter", "members": [f"serviceAccount:{NODES}"]},
    {"service_account": NODES, "role": "roles/iam.serviceAccountUser", "members": ["user:a@example.com"]},
]


def test_grants_are_added_once_and_others_are_left_alone(cloud: Cloud, run: Module) -> None:
    run("gcp_resources", resources=RESOURCES)
    others = {"role": "roles/logging.logWriter", "members": ["user:other@example.com"]}
    cloud.policies[f"projects/{PROJECT}"] = {"etag": "x", "bindings": [copy.deepcopy(others)]}
    assert len(run("gcp_iam", check=True, grants=GRANTS)["changes"]) == 3
    assert len(run("gcp_iam", grants=GRANTS)["changes"]) == 3
    assert not changed(run("gcp_iam", grants=GRANTS))
    assert len(run("gcp_iam", grants=[{**grant, "state": "absent"} for grant in GRANTS])["changes"]) == 3
    assert cloud.policies[f"projects/{PROJECT}"]["bindings"] == [others]
    assert cloud.policies["/storage/v1/b/delta"]["bindings"] == []


def test_a_grant_made_by_another_at_the_same_moment_is_kept(cloud: Cloud, run: Module) -> None:
    cloud.refuse("*.setIamPolicy", 409, "aborted", "There were concurrent policy changes.")
    assert changed(run("gcp_iam", grants=GRANTS[1:2]))
    assert cloud.mutations() == ["cloudresourcemanager.projects.setIamPolicy"] * 2


def test_a_new_account_that_google_does_not_know_everywhere_yet(cloud: Cloud, run: Module) -> None:
    words = f"Service account {NODES} does not exist."
    cloud.refuse("*.setIamPolicy", 400, "invalid", words, times=3)
    assert changed(run("gcp_iam", grants=GRANTS[1:2]))
    cloud.refuse("*.setIamPolicy", 400, "invalid", words, times=99)
    assert words[:-1] in run("gcp_iam", grants=[{**GRANTS[1], "role": "roles/viewer"}])["msg"]


def test_a_budget_is_made_changed_and_found_again(cloud: Cloud, run: Module) -> None:
    for name in ("a", "b", "c"):  # the wanted one is on another page
        cloud.budgets[name] = {"displayName": name, "name": f"billingAccounts/0A-0B-0C/budgets/{name}"}
    options = {"name": "lake", "billing_account": "0A-0B-0C", "amount": 100}
    assert changed(run("gcp_budget", check=True, **options))
    assert changed(run("gcp_budget", **options))
    assert not changed(run("gcp_budget", **options))
    assert changed(run("gcp_budget", **{**options, "amount": 50}))
    (budget,) = [one for one in cloud.budgets.values() if one["displayName"] == "lake"]
    assert budget["amount"]["specifiedAmount"]["units"] == "50"
    assert [rule["thresholdPercent"] for rule in budget["thresholdRules"]] == [0.5, 0.9, 1.0]
    assert changed(run("gcp_budget", name="lake", billing_account="0A-0B-0C", state="absent"))
    assert len(cloud.budgets) == 3


def test_what_was_spent_is_read_and_half_a_query_is_no_answer(cloud: Cloud, run: Module) -> None:
    cloud.services[PROJECT].add("bigquery.googleapis.com")
    cloud.spend = [{"service": "Compute Engine", "currency": "EUR", "cost": "12.5"}]
    options = {"app": "lake", "prices": PRICES, "billing_export": EXPORT}
    assert run("gcp_cost_info", **options)["spent"] == [{**cloud.spend[0], "cost": 12.5}]
    assert cloud.log[-1].body["timeoutMs"] < gcp.REQUEST_SECONDS * 1000, "before the client gives up"
    cloud.spend_takes_long = True
    message = run("gcp_cost_info", **options)["msg"]
    assert f"gcp_billing_export {EXPORT}" in message
    assert "Run playbooks/cost.yml again" in message


def test_who_may_not_see_budgets_has_none_to_take_away(cloud: Cloud, run: Module) -> None:
    cloud.refuse("billingbudgets.*.list", 403, "forbidden", "The caller does not have permission", times=9)
    options = {"name": "lake", "billing_account": "0A-0B-0C"}
    none = run("gcp_budget", **options, state="absent")
    assert not changed(none)
    assert "roles/billing.costsManager" in str(none["warnings"])
    assert "roles/billing.costsManager" in run("gcp_budget", **options, amount=1)["msg"]


# --- errors ---

NETWORK_ONLY = RESOURCES[:1]


def test_a_missing_permission_names_it_the_account_and_a_role(cloud: Cloud, run: Module) -> None:
    words = f"Required 'compute.networks.create' permission for '{NETWORK}'"
    cloud.refuse("compute.networks.insert", 403, "forbidden", words)
    message = run("gcp_resources", resources=NETWORK_ONLY)["msg"]
    for part in ("network lake", "compute.networks.create", EMAIL, "roles/compute.admin", PROJECT):
        assert part in message


def test_an_api_that_is_off_is_named_with_the_way_to_enable_it(cloud: Cloud, run: Module) -> None:
    cloud.services[PROJECT].discard("compute.googleapis.com")
    message = run("gcp_resources", resources=NETWORK_ONLY)["msg"]
    assert f"gcloud services enable compute.googleapis.com --project {PROJECT}" in message
    assert "gcp_services" in message


def test_a_quota_is_named_whether_refused_or_found_out_later(
    cloud: Cloud, run: Module, vm: Callable[..., dict[str, Any]]
) -> None:
    cloud.refuse(
        "compute.instances.insert",
        403,
        "quotaExceeded",
        "Quota 'CPUS' exceeded.  Limit: 2.0 in region europe-west3.",
    )
    first = vm(spec=VM)["msg"]
    cloud.fail_operation(
        "compute.instances.insert",
        "QUOTA_EXCEEDED",
        "Quota 'CPUS' exceeded.  Limit: 2.0 in region europe-west3.",
    )
    second = vm(spec=VM)["msg"]
    for message in (first, second):
        assert "Quota 'CPUS' exceeded" in message
        assert "Limit: 2.0" in message
        assert "gcp_machine_type" in message
    assert changed(vm(spec=VM)), "it goes on where it stopped"


@pytest.mark.parametrize("reason", ["forbidden", "SERVICE_DISABLED"])
def test_a_sign_in_without_a_quota_project_says_how_to_set_it(cloud: Cloud, run: Module, reason: str) -> None:
    words = "The billingbudgets.googleapis.com API requires a quota project, which is not set by default."
    cloud.refuse("billingbudgets.*", 403, reason, words)
    message = run("gcp_budget", name="lake", billing_account="0A-0B-0C", amount=1)["msg"]
    assert f"gcloud auth application-default set-quota-project {PROJECT}" in message


def test_a_permission_that_is_missing_is_named_and_not_the_account(
    cloud: Cloud, vm: Callable[..., dict[str, Any]]
) -> None:
    words = (
        "deployer@lake.iam.gserviceaccount.com does not have compute.instances.get access. "
        "Permission 'compute.instances.get' denied on resource (or it may not exist)."
    )
    cloud.refuse("compute.instances.get", 403, "forbidden", words)
    message = vm(spec=VM, check=True)["msg"]
    assert "the permission compute.instances.get" in message
    assert "gcp_create_project" not in message


def test_a_zone_without_room_says_what_else_to_try(cloud: Cloud, vm: Callable[..., dict[str, Any]]) -> None:
    cloud.fail_operation(
        "compute.instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources."
    )
    message = vm(spec=VM)["msg"]
    assert "gcp_zone" in message
    assert "gcp_spot" in message


def test_no_billing_is_named(cloud: Cloud, run: Module) -> None:
    del cloud.projects[PROJECT]["billing"]
    assert "gcp_billing_account" in run("gcp_services", services=["oslogin.googleapis.com"])["msg"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("UREQ_PROJECT_BILLING_NOT_FOUND", "Billing account for project '1' is not found."),
        ("accountDisabled", "The project to be billed is associated with an absent billing account."),
        ("forbidden", "Project shop-lakehouse (#1) has billing disabled. Please enable it."),
    ],
)
def test_no_billing_has_many_words(cloud: Cloud, run: Module, reason: str, words: str) -> None:
    cloud.refuse("compute.networks.get", 403, reason, words)
    assert "gcp_billing_account" in run("gcp_resources", resources=NETWORK_ONLY)["msg"]


def test_billing_in_a_name_is_not_a_missing_billing_account(cloud: Cloud, run: Module) -> None:
    network = "projects/billing-lake/global/networks/lake"
    words = f"Required 'compute.networks.get' permission for '{network}'"
    cloud.refuse("compute.networks.get", 403, "forbidden", words)
    message = run("gcp_resources", resources=NETWORK_ONLY)["msg"]
    assert "roles/compute.admin" in message
    assert "gcp_billing_account" not in message

    cloud.services[PROJECT].add("bigquery.googleapis.com")
    words = "Access Denied: Table shop-lakehouse:bills.gcp_billing_export_v1: User does not have permission."
    cloud.refuse("bigquery.jobs.query", 403, "accessDenied", words)
    message = run("gcp_cost_info", app="lake", prices=PRICES, billing_export=EXPORT)["msg"]
    assert "roles/bigquery.dataViewer" in message
    assert "gcp_billing_account" not in message


def test_a_refusal_about_billing_says_what_to_grant_on_the_account(cloud: Cloud, run: Module) -> None:
    words = "The caller does not have permission"
    grant = "`gcloud billing accounts add-iam-policy-binding 0A-0B-0C --member … --role "
    cloud.refuse("billingbudgets.*.create", 403, "forbidden", words)
    message = run("gcp_budget", name="lake", billing_account="0A-0B-0C", amount=1)["msg"]
    assert f"{grant}roles/billing.costsManager`" in message
    cloud.refuse("cloudbilling.projects.updateBillingInfo", 403, "forbidden", words)
    assert f"{grant}roles/billing.user`" in run("gcp_project", billing_account="0A-0B-0C")["msg"]


@pytest.mark.parametrize(
    ("parent", "command"),
    [
        ("folders/1", "gcloud resource-manager folders add-iam-policy-binding 1"),
        ("organizations/2", "gcloud organizations add-iam-policy-binding 2"),
        (None, "gcloud organizations add-iam-policy-binding ORGANIZATION"),
    ],
)
def test_a_project_that_may_not_be_made_says_what_to_grant_on_its_parent(
    cloud: Cloud, run: Module, parent: str | None, command: str
) -> None:
    cloud.projects.clear()
    words = "Permission 'resourcemanager.projects.create' denied on resource (or it may not exist)."
    cloud.refuse("cloudresourcemanager.projects.create", 403, "forbidden", words)
    message = run("gcp_project", create=True, parent=parent)["msg"]
    assert f"`{command} --member … --role roles/resourcemanager.projectCreator`" in message
    assert "gcp_project_parent" in message
    assert "gcp_create_project makes a new one" not in message


def test_a_full_bucket_says_how_to_empty_it(cloud: Cloud, run: Module) -> None:
    run("gcp_resources", resources=RESOURCES)
    cloud.refuse("storage.buckets.delete", 409, "conflict", "The bucket you tried to delete is not empty.")
    message = run("gcp_resources", resources=[{**RESOURCES[-1], "state": "absent"}])["msg"]
    assert "`gcloud storage rm --recursive 'gs://delta/**'`" in message


def test_a_project_that_is_not_there_is_named(cloud: Cloud, run: Module) -> None:
    cloud.projects.clear()
    message = run("gcp_project")["msg"]
    assert "gcp_project" in message
    assert "gcp_create_project" in message


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "rateLimitExceeded"), (503, "backendError"), (403, "rateLimitExceeded")]
)
def test_what_passes_is_waited_for(cloud: Cloud, run: Module, status: int, reason: str) -> None:
    cloud.refuse("compute.networks.*", status, reason, "Later.", times=3)
    assert changed(run("gcp_resources", resources=NETWORK_ONLY))


def test_a_changed_fingerprint_is_an_error_and_the_next_run_is_right(
    cloud: Cloud, run: Module, vm: Callable[..., dict[str, Any]]
) -> None:
    vm(spec=VM)
    drift(cloud, "instances/node1", {"labels": {}})
    cloud.refuse(
        "compute.instances.setLabels", 412, "conditionNotMet", "Labels fingerprint either invalid or changed."
    )
    assert "412" in vm(spec=VM)["msg"]
    assert changed(vm(spec=VM))
    assert not changed(vm(spec=VM))


@pytest.mark.parametrize(
    "method", ["compute.networks.insert", "storage.buckets.insert", "iam.projects.serviceAccounts.create"]
)
def test_an_answer_that_is_lost_is_asked_for_again(cloud: Cloud, run: Module, method: str) -> None:
    cloud.drop(method)
    assert changed(run("gcp_resources", resources=RESOURCES))
    assert not changed(run("gcp_resources", resources=RESOURCES))


def test_a_budget_whose_answer_is_lost_is_not_made_twice(cloud: Cloud, run: Module) -> None:
    options = {"name": "lake", "billing_account": "0A-0B-0C", "amount": 100}
    cloud.refuse("billingbudgets.*.create", 503, "backendError", "Later.")
    cloud.drop("billingbudgets.*.create")
    done = run("gcp_budget", **options)
    assert changed(done)
    assert list(cloud.budgets) == [done["budget"]]
    assert not changed(run("gcp_budget", **options))


def test_a_project_whose_answer_is_lost_is_the_one_that_was_made(cloud: Cloud, run: Module) -> None:
    cloud.projects.clear()
    cloud.drop("cloudresourcemanager.projects.create")
    assert changed(run("gcp_project", create=True, billing_account="0A-0B-0C"))
    assert cloud.projects[PROJECT]["billing"] == "billingAccounts/0A-0B-0C"
    assert not changed(run("gcp_project", create=True, billing_account="0A-0B-0C"))


def test_a_project_id_that_another_has_is_said_to_be_taken(cloud: Cloud, run: Module) -> None:
    cloud.projects.clear()
    cloud.refuse(
        "cloudresourcemanager.projects.create", 409, "alreadyExists", "Requested entity already exists"
    )
    message = run("gcp_project", create=True)["msg"]
    assert f"gcp_project is {PROJECT}, which is taken" in message
    assert "Choose another" in message


def test_a_change_whose_answer_is_lost_is_not_made_twice(
    cloud: Cloud, vm: Callable[..., dict[str, Any]]
) -> None:
    vm(spec=VM)
    drift(cloud, "instances/node1", {"labels": {}})
    # A second change with the same fingerprint would be refused: Google knows it by its id.
    cloud.drop("compute.instances.setLabels")
    assert changed(vm(spec=VM))
    assert not changed(vm(spec=VM))


def test_a_connection_lost_for_good_in_the_middle_then_a_second_run(cloud: Cloud, run: Module) -> None:
    cloud.drop("compute.*Operations.get", times=6)
    message = run("gcp_resources", resources=RESOURCES)["msg"]
    assert "run again" in message
    assert set(cloud.named("networks")) == {"lake"}
    assert not cloud.named("firewalls")

    assert changed(run("gcp_resources", resources=RESOURCES))
    assert set(cloud.named("firewalls")) == {"ssh"}
    assert not changed(run("gcp_resources", resources=RESOURCES))


def test_signing_in_that_fails_says_how(cloud: Cloud, run: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    assert "gcloud auth application-default login" in run("gcp_resources", resources=NETWORK_ONLY)["msg"]
    message = run("gcp_resources", resources=NETWORK_ONLY, service_account_file="/nowhere.json")["msg"]
    assert "service_account_file /nowhere.json" in message


def test_acting_as_another_account(cloud: Cloud, run: Module) -> None:
    assert changed(run("gcp_resources", resources=NETWORK_ONLY, impersonate=NODES))
    assert {record.authorization for record in cloud.log if record.method.startswith("compute")} == {
        "Bearer ya29.as-nodes"
    }


def test_no_token_is_shown(cloud: Cloud, run: Module) -> None:
    assert "ya29" not in str(run("gcp_resources", resources=RESOURCES))


def test_another_address_of_an_api(cloud: Cloud, run: Module) -> None:
    private = {"compute": "https://compute-lake.p.googleapis.com/compute/v1"}
    assert "does not answer" not in str(run("gcp_resources", resources=NETWORK_ONLY, endpoints=private))
    assert cloud.log[-1].path.startswith("compute-lake.p.googleapis.com/")
    cloud.log.clear()
    assert (
        "endpoints names computer"
        in run("gcp_resources", resources=NETWORK_ONLY, endpoints={"computer": "x"})["msg"]
    )


# --- the stand-in itself, through clients that are not ours ---


def test_googles_own_client_runs_against_it(cloud: Cloud) -> None:
    from google.api_core.exceptions import BadRequest, NotFound
    from google.cloud import compute_v1

    networks: Any = compute_v1.NetworksClient()
    wanted = compute_v1.Network(name="lake", auto_create_subnetworks=False)
    networks.insert(project=PROJECT, network_resource=wanted).result(timeout=30)
    assert networks.get(project=PROJECT, network="lake").self_link.endswith("/global/networks/lake")
    with pytest.raises(NotFound):
        networks.get(project=PROJECT, network="other")
    vms = compute_v1.InstancesClient()
    with pytest.raises(BadRequest):
        vms.stop(project=PROJECT, zone="Not a zone", instance="node1")
    cloud.log.clear()


def test_googles_own_ansible_module_runs_against_it(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    from ansible_collections.google.cloud.plugins.modules import gcp_compute_network

    options = {
        "name": "lake",
        "auto_create_subnetworks": False,
        "project": PROJECT,
        "auth_kind": "application",
        "state": "present",
    }
    assert run_main(gcp_compute_network.main, options, capsys)["changed"]
    assert not run_main(gcp_compute_network.main, options, capsys)["changed"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "lake", "colour": "red"}, "unknown field Network.colour"),
        ({"name": "lake", "mtu": "large"}, "Network.mtu is no number"),
        ({"name": "lake", "subnetworks": "one"}, "Network.subnetworks must be array"),
        ({"name": "lake", "routingConfig": {"routingMode": "LOCAL"}}, "routingMode must be one of"),
        ({"mtu": 1460}, "Network.name is required"),
    ],
)
def test_what_google_would_not_take_it_does_not_take(cloud: Cloud, body: dict[str, Any], words: str) -> None:
    client = gcp.Client({"project": PROJECT, "endpoints": {}, "timeout": 9})
    with pytest.raises(gcp.GcpError, match="answered 400") as refusal:
        client.change("compute", "POST", f"{BASE}/global/networks", body)
    assert words in str(refusal.value)
    cloud.log.clear()
