# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Readings of a node: units, memory, disks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def units_from_show(text: str) -> dict[str, dict[str, Any]]:
    """Read what `systemctl show --timestamp=unix` prints for several units."""
    units = {}
    for block in text.strip().split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines())
        since = shown.get("ActiveEnterTimestamp", "").lstrip("@")
        missing = shown["LoadState"] != "loaded"
        units[shown["Id"].removesuffix(".service")] = {
            "state": "missing" if missing else shown["ActiveState"],
            "since": int(since) if since.isdigit() else None,
            "restarts": int(shown.get("NRestarts") or 0),
            "main_pid": int(shown.get("MainPID") or 0),
        }
    return units


def resident_bytes(proc: str = "/proc") -> int:
    """Sum what each process holds; pages that several share are divided among them."""
    total = 0
    for entry in Path(proc).iterdir():
        if not entry.name.isdigit():
            continue
        try:
            lines = (entry / "smaps_rollup").read_text().splitlines()
        except OSError:  # ended meanwhile, or a kernel thread
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def disks(paths: Iterable[str]) -> list[dict[str, Any]]:
    """Measure the file systems that hold some folders, each once."""
    seen: dict[int, dict[str, Any]] = {}
    for path in paths:
        device = Path(path).stat().st_dev
        if device not in seen:
            size = os.statvfs(path)
            usable = size.f_blocks - size.f_bfree + size.f_bavail
            seen[device] = {
                "path": path,
                "total_bytes": usable * size.f_frsize,
                "used_bytes": (size.f_blocks - size.f_bfree) * size.f_frsize,
            }
    return list(seen.values())
