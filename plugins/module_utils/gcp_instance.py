# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""A virtual machine: its fields as any resource's, and whether it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp_compare, gcp_resources
from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, GcpError, Json

# Google's words for a VM that is on its way, and what it is on its way to.
ON_THE_WAY = {
    "PROVISIONING": "RUNNING",
    "STAGING": "RUNNING",
    "REPAIRING": "RUNNING",
    "STOPPING": "TERMINATED",
    "PENDING_STOP": "TERMINATED",
    "SUSPENDING": "SUSPENDED",
}
# Of a disk that is made with its VM, and of the disk by itself.
BOOT_DISK = {"diskSizeGb": "sizeGb", "diskType": "type"}
NOTHING = gcp_resources.Plan("", "compute")


@dataclass(frozen=True)
class Steps:
    """What to do about a VM and its boot disk: change them, with a stop around or not, start or stop it."""

    fields: gcp_resources.Plan
    boot_disk: gcp_resources.Plan = NOTHING
    stop_first: bool = False
    power: str = ""
    was: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.fields.calls or self.boot_disk.calls or self.power)

    @property
    def diff(self) -> Json:
        """As Ansible shows it."""
        shown = self.fields.diff
        if self.boot_disk.calls:
            shown["before"] = {**shown["before"], self.boot_disk.title: self.boot_disk.before}
            shown["after"] = {**shown["after"], self.boot_disk.title: self.boot_disk.after}
        if self.power:
            shown["before"] = {**shown["before"], "status": self.was}
            shown["after"] = {
                **shown["after"],
                "status": {"start": "RUNNING", "stop": "TERMINATED"}[self.power],
            }
        return shown


@dataclass
class Vm:
    """One VM."""

    client: Client
    name: str
    zone: str
    path: str = field(init=False)

    def __post_init__(self) -> None:
        """Note its path."""
        self.path = f"projects/{self.client.project}/zones/{self.zone}/instances/{self.name}"

    def status(self) -> str:
        """What it does, in Google's words; empty when there is none."""
        return str((self.client.get("compute", self.path) or {}).get("status", ""))

    def plan(self, state: str, spec: Json | None, *, allow_stop: bool) -> Steps:
        """Compare it with what is wanted.

        Raises:
            GcpError: There is no VM and no ``spec``, a field cannot change, or a change needs a stop that is
                not allowed.
        """
        if not self.client.check_mode:
            self._settle()
        current = self.client.get("compute", self.path) or {}
        was = str(current.get("status", ""))
        if not was and spec is None and state != "absent":
            raise GcpError(
                f"There is no VM {self.name} in {self.zone}. Make it with playbooks/provision.yml."
            )
        fields = gcp_resources.plan(
            self.client, "instance", self.name, self.zone, spec or {}, present=state != "absent"
        )
        if state == "absent" or not was:
            return Steps(fields, power="stop" if state == "stopped" else "", was=was)
        boot_disk = self._boot_disk(current, spec or {})
        running = ON_THE_WAY.get(was, was) == "RUNNING"
        stop_first = running and any(call.needs_stop for call in fields.calls)
        if stop_first and state != "stopped" and not allow_stop:
            raise GcpError(
                f"VM {self.name} runs, and must be stopped for this: {sorted(fields.after or {})}. Run "
                "playbooks/stop_vms.yml first, or set gcp_allow_stop to true: it is then stopped and started "
                "again."
            )
        power = {"running": "" if running else "start", "stopped": "stop" if running else ""}.get(state, "")
        return Steps(fields, boot_disk, stop_first, power, was)

    def apply(self, steps: Steps) -> None:
        """Do what was planned, and wait for it."""
        stopped = steps.stop_first
        if stopped:
            self._power("stop")
        gcp_resources.apply(self.client, steps.boot_disk)
        gcp_resources.apply(self.client, steps.fields)
        if steps.power == "stop" and not stopped:
            self._power("stop")
        elif steps.power == "start" or (stopped and steps.power != "stop"):
            self._power("start")

    def _boot_disk(self, current: Json, spec: Json) -> gcp_resources.Plan:
        """Compare the disk that it starts from with what a new one would be made as."""
        new = gcp_compare.attached({"boot": True}, spec.get("disks", [])).get("initializeParams", {})
        wanted = {own: new[name] for name, own in BOOT_DISK.items() if name in new}
        disk = gcp_compare.attached({"boot": True}, current["disks"])
        if not wanted or not disk:
            return NOTHING
        name = disk["source"].rsplit("/", 1)[1]
        return gcp_resources.plan(self.client, "disk", name, self.zone, wanted)

    def _power(self, verb: str) -> None:
        self.client.change("compute", "POST", f"{self.path}/{verb}")
        wanted = {"start": "RUNNING", "stop": "TERMINATED"}[verb]
        self.client.until(f"{verb} of {self.name}", lambda: self.status() == wanted)

    def _settle(self) -> None:
        """Wait for what an earlier run, a schedule or Google itself began."""
        self.client.until(f"the state of {self.name}", lambda: self.status() not in ON_THE_WAY)
