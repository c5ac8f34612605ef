"""The REST API of any api-server, measured by one small client: HTTP/1.1, kept connections, nothing decoded.

usage: python -m benchmarks.rest --kubeconfig FILE [--server URL] [--pods 5000] [--clients 8]

It works in a namespace of its own, which it removes at the end, with pods that no scheduler feels responsible for.
Point it at upstream's api-server, on the same machine, to compare. Prints one JSON object of milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import ssl
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit

from kubelab.client.kubeconfig import Access, Kubeconfig

JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WARM_UP, SAMPLES, LISTS = 50, 500, 7


class Connection:
    """One kept connection."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        where = urlsplit(url)
        self._http = http.client.HTTPSConnection(where.hostname or "", where.port or 443, context=context)

    def send(self, method: str, path: str, body: object = None, accept: str = JSON) -> bytes:
        """Give the body of an answer; SystemExit for one that says no."""
        headers = {"Accept": accept, "User-Agent": "kubelab-bench/1", "Connection": "keep-alive"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), JSON
        return self.exchange(method, path, data, headers)

    def exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> bytes:
        """Send one request as it is."""
        self._http.request(method, path, data, headers)
        response = self._http.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {answer[:500].decode(errors='replace')}")
        return answer

    def timed(self, method: str, path: str, body: object = None, accept: str = JSON) -> float:
        """Send a request; gives milliseconds."""
        began = time.perf_counter()
        self.send(method, path, body, accept)
        return (time.perf_counter() - began) * 1000


@contextlib.contextmanager
def context_of(access: Access) -> Generator[ssl.SSLContext]:
    """Trust the cluster's authority and show the user's certificate. Which server answers, --server says."""
    context = ssl.create_default_context(cadata=access.ca.decode())
    context.check_hostname = False
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(access.certificate + b"\n" + access.key)
        pem.flush()
        context.load_cert_chain(pem.name)
    yield context


def pod(name: str) -> dict[str, object]:
    spec = {"containers": [{"name": "app", "image": "hello:v1"}], "schedulerName": "nobody"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "bench"}}, "spec": spec}


def measure(url: str, context: ssl.SSLContext, count: int, clients: int) -> dict[str, float]:
    """Measure all rows, in a namespace that is there when this begins and gone when it ends."""
    one = Connection(url, context)
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    one.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    pods = f"/api/v1/namespaces/{namespace}/pods"
    try:
        return _rows(url, context, one, pods, count, clients)
    finally:
        one.send("DELETE", f"{pods}?gracePeriodSeconds=0")
        one.send("DELETE", f"/api/v1/namespaces/{namespace}")


def _rows(url: str, context: ssl.SSLContext, one: Connection, pods: str, count: int, clients: int) -> dict[str, float]:
    rows: dict[str, float] = {}
    numbers = itertools.count()

    def create(connection: Connection) -> float:
        return connection.timed("POST", pods, pod(f"p-{next(numbers):06}"))

    for _ in range(WARM_UP):
        create(one)
        one.send("GET", "/healthz")
    rows["bare"] = statistics.median(one.timed("GET", "/healthz") for _ in range(SAMPLES))
    rows["create"] = statistics.median(create(one) for _ in range(SAMPLES))
    rows["get"] = statistics.median(one.timed("GET", f"{pods}/p-000000") for _ in range(SAMPLES))
    rows["patch"] = statistics.median(_patched(one, f"{pods}/p-000000", n) for n in range(SAMPLES // 5))
    left = count - SAMPLES - WARM_UP
    if left > 0:
        began = time.perf_counter()
        _together(url, context, clients, left, create)
        rows[f"creates by {clients} clients, a second"] = left / (time.perf_counter() - began)
    rows["pods"] = next(numbers)
    for name, accept in (("json", JSON), ("protobuf", PROTOBUF), ("table", TABLE)):
        rows[f"list {name}, first"] = one.timed("GET", pods, accept=accept)
        rows[f"list {name}"] = statistics.median(one.timed("GET", pods, accept=accept) for _ in range(LISTS))
    return rows


def _patched(one: Connection, path: str, number: int) -> float:
    body = json.dumps({"metadata": {"labels": {"n": str(number)}}}).encode()
    began = time.perf_counter()
    one.exchange("PATCH", path, body, {"Content-Type": "application/merge-patch+json", "Accept": JSON})
    return (time.perf_counter() - began) * 1000


def _together(url: str, context: ssl.SSLContext, clients: int, count: int, work: Callable[[Connection], float]) -> None:
    tickets = iter(range(count))
    lock = threading.Lock()

    def run() -> None:
        connection = Connection(url, context)
        while True:
            with lock:
                if next(tickets, None) is None:
                    return
            work(connection)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure an api-server's REST API.")
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--server", default="", help="URL of the api-server; by default the kubeconfig's")
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    config = Kubeconfig.load(arguments.kubeconfig)
    with context_of(config.access()) as context:
        rows = measure(arguments.server or config.server(), context, arguments.pods, arguments.clients)
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
