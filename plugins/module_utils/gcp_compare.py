# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""Whether a resource of Google Cloud is as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cdc.lakehouse.plugins.module_utils.gcp import Json

# Fields that Google answers as they were sent, without defaults. A key too many there, such as the ports of
# an allowed protocol or a condition of a rule, makes it another rule.
EXACT = {"firewall": ("allowed",), "bucket": ("lifecycle",)}


def same(wanted: Any, current: Any) -> bool:
    """Whether a value is as wanted. What a mapping does not name does not count; nothing equals empty."""
    if isinstance(wanted, dict):
        return isinstance(current, dict | None) and not differences(wanted, current or {})
    if isinstance(wanted, list):
        return _same_list(wanted, current or [])
    if wanted in (None, False, "") or current in (None, False, ""):
        return bool(wanted) == bool(current)
    if isinstance(wanted, int | float) and isinstance(current, int | float):
        return wanted == current  # 1.0 is told as 1
    left, right = str(wanted), str(current)
    # A link is written in full, from the host on, or from the project on.
    return left == right or ("/" in left and _link(left) == _link(right))


def _link(value: str) -> str:
    return value.partition("/compute/v1/")[2] or value


def _same_list(wanted: list[Any], current: list[Any]) -> bool:
    if len(wanted) != len(current):
        return False
    left = list(current)
    for item in wanted:
        match = next((other for other in left if same(item, other)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def differences(wanted: Json, current: Json) -> dict[str, tuple[Any, Any]]:
    """The fields of ``wanted`` that are not so, each with what is wanted and what is."""
    return {
        key: (value, current.get(key)) for key, value in wanted.items() if not same(value, current.get(key))
    }


def describe(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Say in words what differs."""
    return "; ".join(f"{key} is {is_!r}, not {wanted!r}" for key, (wanted, is_) in differing.items())


def differences_of(kind: str, wanted: Json, current: Json) -> dict[str, tuple[Any, Any]]:
    found = differences(wanted, current)
    for key in EXACT.get(kind, ()):
        if key in wanted and not same(current.get(key), wanted[key]):
            found[key] = (wanted[key], current.get(key))
    if "labels" in wanted:
        # All of them are ours but Google's own; one too many is a group too many.
        own = {k: v for k, v in current.get("labels", {}).items() if not k.startswith("goog-")}
        if own != wanted["labels"]:
            found["labels"] = (wanted["labels"], own)
    if kind == "instance":
        found = _instance_differences(wanted, current, found)
    return found


def _instance_differences(wanted: Json, current: Json, found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Judge the fields that Google adds to, or that only count when a VM is made."""
    for key in ("metadata", "disks"):
        found.pop(key, None)
    items = current.get("metadata", {}).get("items", [])
    missing = [
        item
        for item in wanted.get("metadata", {}).get("items", [])
        if not any(same(item, other) for other in items)
    ]
    if missing:
        found["metadata"] = (wanted["metadata"], items)
    disks = current.get("disks", [])
    if any(disk_differences(disk, attached(disk, disks)) for disk in wanted.get("disks", [])):
        found["disks"] = (wanted["disks"], disks)
    if "networkInterfaces" in found:
        one, other = wanted["networkInterfaces"][0], current["networkInterfaces"][0]
        if same([_but(one, "accessConfigs")], [other]) and bool(one.get("accessConfigs")) == bool(
            other.get("accessConfigs")
        ):
            del found["networkInterfaces"]
    return found


def attached(disk: Json, disks: list[Json]) -> Json:
    """The one of a VM's disks that is meant: that of the same source, or the one that the VM starts from."""
    if "source" in disk:
        return next((one for one in disks if same(disk["source"], one.get("source"))), {})
    return next((one for one in disks if one.get("boot")), {})


def disk_differences(disk: Json, current: Json) -> dict[str, tuple[Any, Any]]:
    """What differs of an attached disk."""
    return differences(_but(disk, "initializeParams"), current)


def _but(value: Json, key: str) -> Json:
    return {name: item for name, item in value.items() if name != key}
