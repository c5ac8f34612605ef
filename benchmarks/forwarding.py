"""Requests per second on new connections, to one address and to another: run inside a node's namespace.

usage: python -m benchmarks.forwarding DIRECT_HOST:PORT SERVICE_HOST:PORT SECONDS

Requests go to the two in turns, one by one, so that both see the same machine: on one that is shared, the same second
is rarely as quick as the next. A rate is one over the median time of a request.

Prints one JSON object: {"direct": …, "service": …, "ratio": …}.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time

REQUEST = b"GET / HTTP/1.0\r\nHost: bench\r\n\r\n"
WARM_UP = 50  # requests to each


def ask(address: tuple[str, int]) -> float:
    """Ask once on a new connection and read the whole answer; seconds."""
    began = time.perf_counter()
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(REQUEST)
        while connection.recv(65536):
            pass
    return time.perf_counter() - began


def parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def main(direct: str, service: str, seconds: str) -> None:
    both = (parse(direct), parse(service))
    took: tuple[list[float], list[float]] = ([], [])
    for address in both * WARM_UP:
        ask(address)
    until = time.perf_counter() + float(seconds)
    while time.perf_counter() < until:
        for address, times in zip(both, took, strict=True):
            times.append(ask(address))
    rates = [1 / statistics.median(times) for times in took]
    print(json.dumps({"direct": rates[0], "service": rates[1], "ratio": rates[1] / rates[0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
