"""How long a change takes from its commit to the result of a card that shows it, on the running lab.

A customer comes into the shop, and the Thrift Server is asked as a dashboard asks it, by a connection that
stays, until the customer is in the answer; meanwhile the lab's traffic changes so many rows a second.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2
from pyhive import hive

from benchmarks.measure import Measure

_ROOT = Path(__file__).resolve().parents[1]
_RATES = (10, 100, 500)
_RUNS, _CUSTOMERS = 5, 4
_PAUSE = 0.2
_FALLS_BEHIND = 60.0


def run(on: Callable[..., str]) -> Iterator[Measure]:
    """Measures.

    Args:
        on: Runs a command on a node and gives what it prints.

    Raises:
        subprocess.CalledProcessError: The rate of the traffic could not be set; why is on the screen.
        TimeoutError: A change did not come within ten minutes.
    """
    try:
        with closing(_source(on)) as source, closing(_thrift(on)) as thrift:
            for rate in _RATES:
                _traffic(f"data_generator_rate={rate}")
                _until_shown(source, thrift)  # until the new rate is the old one everywhere
                runs = []
                for number in range(_RUNS):
                    print(
                        f"\r  cards at {rate} changes a second, {number + 1} of {_RUNS}", end="", flush=True
                    )
                    runs.append([_until_shown(source, thrift) for _ in range(_CUSTOMERS)])
                print(flush=True)
                medians = [median(each) for each in runs]
                yield Measure(f"commit to a card's result, {rate} changes/s: p50", "s", medians)
                yield Measure(f"commit to a card's result, {rate} changes/s: most", "s", list(map(max, runs)))
                if median(medians) > _FALLS_BEHIND:
                    break
    finally:
        _traffic()


def _until_shown(source: Any, thrift: Any) -> float:
    """Seconds from a commit to the result that shows it."""
    with source.cursor() as cursor, closing(thrift.cursor()) as card:
        cursor.execute(
            "INSERT INTO customers (name, email, country) "
            "VALUES ('Benchmark', 'benchmark@example.com', 'AT') RETURNING customer_id"
        )
        (customer,) = cursor.fetchone()
        began = time.monotonic()
        try:
            while True:
                card.execute("SELECT orders FROM gold.customer_value WHERE customer_id = %s", (customer,))
                if card.fetchall():
                    return time.monotonic() - began
                if time.monotonic() - began > 600:
                    raise TimeoutError(f"customer {customer} is in the source, and after 600 s not in gold")
                time.sleep(_PAUSE)
        finally:
            cursor.execute("DELETE FROM customers WHERE customer_id = %s", (customer,))


def _source(on: Callable[..., str]) -> Any:
    connection = psycopg2.connect(
        host=on("node1", "hostname", "-i").split()[0],
        dbname="shop",
        user="shop_app",
        password=_secret("postgres_app"),
        sslmode="require",
    )
    connection.autocommit = True
    return connection


def _thrift(on: Callable[..., str]) -> Any:
    host = on("node2", "hostname", "-i").split()[0]
    password = _secret("thrift_bi")
    return hive.connect(host, 10000, username="bi", password=password, auth="LDAP")


def _secret(name: str) -> str:
    return (_ROOT / ".lab" / "secrets" / name).read_text(encoding="utf-8").strip()


def _traffic(*settings: str) -> None:
    command = ["ansible-playbook", "playbooks/traffic.yml"]
    told = [word for setting in settings for word in ("-e", setting)]
    subprocess.run([*command, *told], cwd=_ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603
