"""``python -m data_generator``: run until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys

from data_generator.database import Database
from data_generator.shop import Bounds
from data_generator.traffic import Traffic

STOP = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Parse the arguments and run."""
    default = Bounds()
    parser = argparse.ArgumentParser(prog="data_generator", description=__doc__)
    parser.add_argument(
        "--rate", type=float, default=10.0, help="changed rows a second (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses what happens (default %(default)s)")
    for name in ("customers", "products", "orders", "past_days"):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=getattr(default, name),
            help="see Bounds (default %(default)s)",
        )
    given = parser.parse_args()
    if min(given.rate, given.customers, given.products, given.orders) <= 0:
        parser.error("--rate, --customers, --products and --orders must be greater than 0")
    if given.past_days < 0:
        parser.error("--past-days must be 0 or more")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)

    # Blocked, a signal stays pending until `stopped` asks: it never falls into a transaction.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    Traffic(
        connect=Database,
        wait=stopped,
        ready=notify_ready,
        rate=given.rate,
        seed=given.seed,
        bounds=Bounds(given.customers, given.products, given.orders, given.past_days),
    ).run()


def stopped(seconds: float) -> bool:
    """Wait; whether a signal to stop came meanwhile."""
    return signal.sigtimedwait(STOP, seconds) is not None


def notify_ready() -> None:
    """Tell systemd, where it asked for it, that the service is up."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)


if __name__ == "__main__":
    main()
