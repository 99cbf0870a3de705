"""What the lab's nodes ask the object store.

On a node, as `store_requests.py ADDRESS PORT`, it listens to what leaves the node until standard input is
closed, so nothing has to be set otherwise for it; at the end it prints the requests, each as method and
path, as a list in JSON. Elsewhere, `Listening` has it run on nodes and counts what it tells.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

ETH_P_ALL = 3
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")
BUFFER = 64 * 1024 * 1024


STORE = "http://172.30.77.10:4443"
"""The lab's object store, as the nodes reach it."""

LAYERS = ("bronze", "silver", "gold")


@dataclass
class Asked:
    """Requests, counted.

    Attributes:
        by_class: Of each layer, how many of each class, see `class_of`.
        commits: Of each layer, how many commits were among them.
        scans: Of each layer, how many read data files, as queries of its tables do.
        of_no_layer: How many are about no layer's tables.
    """

    by_class: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in LAYERS})
    commits: Counter[str] = field(default_factory=Counter)
    scans: Counter[str] = field(default_factory=Counter)
    of_no_layer: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.of_no_layer + sum(counts.total() for counts in self.by_class.values())

    def count(self, method: str, path: str) -> None:
        """Counts one."""
        layer, kind = layer_of(path), class_of(method, path)
        if layer not in self.by_class:
            self.of_no_layer += 1
            return
        self.by_class[layer][kind] += 1
        self.commits[layer] += kind == "class_a" and bool(
            re.search(r"_delta_log/\d{20}\.json\b", unquote(path))
        )
        if re.search(r"/_(delta_log|change_data)/", unquote(path)) or ".parquet" not in path:
            return
        # Of a data file, who writes it looks once whether it is there; who reads it looks, too, and loads.
        self.scans[layer] += (method == "GET") - (method == "POST")


class Listening:
    """Listens on nodes of the lab from its making until it is asked."""

    def __init__(self, nodes: Sequence[str]) -> None:
        """Begin to listen to what nodes ask."""
        address, port = STORE.removeprefix("http://").split(":")
        program = Path(__file__).read_text(encoding="utf-8")
        self._processes = []
        for node in nodes:
            process = subprocess.Popen(  # noqa: S603
                ["docker", "exec", "-i", f"cdc-lakehouse-{node}", "python3", "-c", program, address, port],  # noqa: S607
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert process.stdout
            if process.stdout.readline() != "listening\n":
                raise RuntimeError(f"nobody listens on {node}")
            self._processes.append(process)

    def asked(self) -> Asked:
        """What was asked; ends it."""
        found = Asked()
        for process in self._processes:
            for method, path in json.loads(process.communicate()[0]):
                found.count(method, path)
        return found


def layer_of(path: str) -> str:
    """The first folder of the object or listing that a request is about; empty if there is none."""
    found = re.search(r"/b/lakehouse/o(?:/|\?(?:.*&)?(?:name|prefix)=)([^/&?]+)", unquote(path))
    return found[1] if found else ""


def class_of(method: str, path: str) -> str:
    """How Google bills a request ("Operation charges"): an upload counts once, a deletion not at all."""
    if method == "DELETE" or "upload_id=" in path:
        return "free"
    listing = method == "GET" and urlsplit(path).path.endswith("/o")
    return "class_a" if listing or method != "GET" else "class_b"


def payload(packet: bytes, address: bytes, port: int) -> bytes:
    """What an IPv4 packet brings to a TCP address; nothing if it goes elsewhere."""
    ip = (packet[0] & 0xF) * 4
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP or packet[16:20] != address:
        return b""
    if struct.unpack_from(">H", packet, ip + 2)[0] != port:
        return b""
    return packet[ip + (packet[ip + 12] >> 4) * 4 :]


def main() -> None:
    """Listen until nobody wants to know any more."""
    address, port = socket.inet_aton(sys.argv[1]), int(sys.argv[2])
    requests = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE, which Python does not name
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([wire, sys.stdin], [], [])
            if wire not in ready:
                break
            packet, (_, _, kind, *_) = wire.recvfrom(65535)
            if kind != socket.PACKET_OUTGOING:
                continue
            content = payload(packet, address, port)
            if content.startswith(METHODS):
                method, path, *_ = content.split(b"\r\n", 1)[0].decode().split(" ")
                requests.append([method, path])
    print(json.dumps(requests), flush=True)


if __name__ == "__main__":
    main()
