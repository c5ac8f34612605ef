"""Requests per second on new connections, to one address and another in turns: run inside a node's namespace.

usage: python -m benchmarks.forwarding DIRECT_HOST:PORT SERVICE_HOST:PORT SECONDS

Prints one JSON object: {"direct": …, "service": …, "ratio": …}; the ratio is the median over paired rounds.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time

REQUEST = b"GET / HTTP/1.0\r\nHost: bench\r\n\r\n"


def rate(address: str, seconds: float) -> float:
    """Ask again and again, each time on a new connection."""
    host, _, port = address.rpartition(":")
    asked, until = 0, time.perf_counter() + seconds
    began = time.perf_counter()
    while time.perf_counter() < until:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(REQUEST)
            while connection.recv(65536):
                pass
        asked += 1
    return asked / (time.perf_counter() - began)


def main(direct: str, service: str, seconds: str) -> None:
    rounds = 8
    pairs = [
        (rate(direct, float(seconds) / rounds / 2), rate(service, float(seconds) / rounds / 2)) for _ in range(rounds)
    ]
    print(
        json.dumps(
            {
                "direct": statistics.median(d for d, _ in pairs),
                "service": statistics.median(s for _, s in pairs),
                "ratio": statistics.median(s / d for d, s in pairs),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
