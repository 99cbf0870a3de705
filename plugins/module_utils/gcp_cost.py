# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""What the machines of a lakehouse cost: by a price table, and by the bill where there is an export of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Client, GcpError, Json

MONTH_HOURS = 730
QUERY_SECONDS = 50  # BigQuery answers then whether it is done or not; the client gives up after 60
SPENT = """
SELECT service.description AS service, currency,
  ROUND(SUM(cost) + SUM(IFNULL((SELECT SUM(credit.amount) FROM UNNEST(credits) AS credit), 0)), 2) AS cost
FROM `{table}`
WHERE project.id = @project AND invoice.month = FORMAT_DATE('%Y%m', CURRENT_DATE())
GROUP BY service, currency ORDER BY cost DESC
"""


def listed(client: Client, collection: str, app: str) -> Iterator[Json]:
    """All VMs, or disks, that have the label."""
    path = f"projects/{client.project}/aggregated/{collection}"
    for page in client.pages("compute", path, filter=f"labels.app = {app}"):
        for scope in page.get("items", {}).values():
            yield from scope.get(collection, [])


def boot_disks(client: Client, vms: list[Json]) -> Iterator[Json]:
    """The disks that the VMs start from; they have no label."""
    for vm in vms:
        for disk in vm.get("disks", []):
            found = (
                client.get("compute", disk["source"].partition("/compute/v1/")[2])
                if disk.get("boot")
                else None
            )
            if found:
                yield found


def hours_on(vm: Json, now: datetime) -> float:
    """Hours since a VM was started; 0 for one that does not run."""
    if vm.get("status") != "RUNNING" or not vm.get("lastStartTimestamp"):
        return 0.0
    return round((now - datetime.fromisoformat(vm["lastStartTimestamp"])).total_seconds() / 3600, 1)


def estimate(vms: list[Json], disks: list[Json], prices: Json, requests_per_hour: Json) -> Json:
    """Work out what is paid for an hour as it is now.

    Args:
        vms: As Compute Engine answers them.
        disks: Theirs, which are paid for whether the VM runs or not.
        prices: ``machines`` (an hour, ``standard`` and ``spot``), ``disks`` (a GB and month),
            ``external_address`` and ``nat`` (an hour and VM), ``class_a`` and ``class_b`` (1,000 requests).
        requests_per_hour: Requests of both classes while a VM runs.
    """
    now = datetime.now(UTC)
    unpriced: set[str] = set()
    rows = [_row(vm, prices, unpriced, now) for vm in vms]
    running = [vm for vm in vms if vm.get("status") == "RUNNING"]
    outside = [vm for vm in running if vm["networkInterfaces"][0].get("accessConfigs")]
    requests = sum(prices[kind] * float(count) / 1000 for kind, count in requests_per_hour.items())
    hourly = {
        "vms": sum(row["hourly"] for row in rows if row["status"] == "RUNNING"),
        "disks": sum(_disk(disk, prices, unpriced) for disk in disks) / MONTH_HOURS,
        "external_addresses": prices["external_address"] * len(outside),
        "nat": prices["nat"] * (len(running) - len(outside)),
        "requests": requests if running else 0.0,
    }
    return {
        "instances": rows,
        "hourly": {kind: round(price, 4) for kind, price in hourly.items()},
        "monthly": round(sum(hourly.values()) * MONTH_HOURS, 2),
        "unpriced": sorted(unpriced),
    }


def _row(vm: Json, prices: Json, unpriced: set[str], now: datetime) -> Json:
    machine = vm["machineType"].rsplit("/", 1)[1]
    spot = vm.get("scheduling", {}).get("provisioningModel") == "SPOT"
    if machine not in prices["machines"]:
        unpriced.add(machine)
    hourly = prices["machines"].get(machine, {}).get("spot" if spot else "standard", 0.0)
    return {
        "name": vm["name"],
        "machine": machine,
        "status": vm["status"],
        "spot": spot,
        "hours": hours_on(vm, now),
        "hourly": hourly,
    }


def _disk(disk: Json, prices: Json, unpriced: set[str]) -> float:
    kind = disk["type"].rsplit("/", 1)[-1]
    if kind not in prices["disks"]:
        unpriced.add(kind)
    return float(prices["disks"].get(kind, 0.0)) * int(disk["sizeGb"])


def spent(client: Client, table: str) -> list[Json]:
    """Ask the billing export what was spent this month, by service."""
    if not re.fullmatch(r"[\w-]+\.\w+\.\w+", table):
        raise GcpError(f"billing_export is {table}, and must be PROJECT.DATASET.TABLE.")
    body = {
        "query": SPENT.format(table=table),
        "useLegacySql": False,
        "timeoutMs": QUERY_SECONDS * 1000,
        "parameterMode": "NAMED",
        "queryParameters": [
            {
                "name": "project",
                "parameterType": {"type": "STRING"},
                "parameterValue": {"value": client.project},
            }
        ],
    }
    answer = client.read("bigquery", f"projects/{table.partition('.')[0]}/queries", body)
    if answer is None:  # in check mode
        return []
    if not answer.get("jobComplete"):
        raise GcpError(
            f"BigQuery did not read gcp_billing_export {table} within {QUERY_SECONDS} s. Run "
            "playbooks/cost.yml again, or set gcp_billing_export to nothing for the estimate alone."
        )
    names = [field["name"] for field in answer.get("schema", {}).get("fields", [])]
    rows = [dict(zip(names, [cell["v"] for cell in row["f"]], strict=True)) for row in answer.get("rows", [])]
    return [{**row, "cost": float(row["cost"])} for row in rows]
