"""What this node asks the object store: `store_requests.py ADDRESS PORT`, until standard input is closed.

It listens to what leaves the node, so nothing has to be set otherwise for it. At the end it prints the
requests, each as method and path, as a list in JSON.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys

ETH_P_ALL = 3
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")
BUFFER = 64 * 1024 * 1024


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
