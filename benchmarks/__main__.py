"""`make bench`: measure a cluster of its own against the budgets of docs/performance.md, within three minutes."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import applying
from benchmarks.bench import CLUSTER, Bench
from benchmarks.report import Figure, publish
from kubelab.cluster.driver import Action
from kubelab.cluster.local import LocalCluster

ENDPOINT_WAIT_SECONDS = 30


def start(bench: Bench) -> list[Figure]:
    first = bench.timed("kubelab", "up")
    again: list[float] = []
    for _ in range(3):
        bench.run("kubelab", "down", "--delete")
        again.append(bench.timed("kubelab", "up"))
    return [
        Figure("kubelab up to 3 Ready nodes", statistics.median([first, *again]), "s", 3),
    ]


def at_rest(bench: Bench) -> list[Figure]:
    """Memory and processor time of every process of the cluster while nothing is asked of it."""
    time.sleep(5)  # not a wait for something: rest is what is measured
    before, began = bench.processes(), time.monotonic()
    time.sleep(20)
    after, seconds = bench.processes(), time.monotonic() - began
    used = sum(p["cpuSeconds"] for p in after) - sum(p["cpuSeconds"] for p in before)
    return [
        Figure("3 nodes at rest: memory (PSS)", sum(p["memoryBytes"] for p in after) / 1e6, "MB", 250),
        Figure("3 nodes at rest: processor", 100 * used / seconds, "% of a core", 3),
    ]


def pods(bench: Bench) -> list[Figure]:
    bench.run("kubelab", "image", "build", "-t", "kubelab/hello:v-1.0.0", "examples/tutorial/00000")
    took = bench.load("latency", 1, 30)
    return [
        Figure("pod created → Running, p50", took["p50"], "ms", 100),
        Figure("pod created → Running, worst of 30", took["p99"], "ms", 300),
    ]


async def leave_alone(bench: Bench) -> None:
    """Stop everybody but etcd and the api-server: the budgets for verbs are theirs."""
    async with LocalCluster.find(CLUSTER, folder=bench.home) as cluster:
        for process in (await cluster.status()).processes:
            if process.component in ("scheduler", "controller-manager", "kube-proxy", "kubelet"):
                await cluster.act(process.name, Action.STOP)


def verbs(bench: Bench) -> list[Figure]:
    asyncio.run(leave_alone(bench))
    bare = bench.load("bare", 32, 1000)
    gets = bench.load("gets", 1, 1000)
    one = bench.load("creates", 1, 700)
    many = bench.load("creates", 32, 4300)
    listing = bench.load("list", 1, 1)
    bench.load("clean", 1, 1)
    return [
        Figure("a bare gRPC call with TLS, p50", bare["p50"], "ms"),
        Figure("get, p50", gets["p50"], "ms", 0.7),
        Figure("get against a bare call", gets["p50"] / bare["p50"], "ratio"),
        Figure("pod creates, 1 client", one["per_second"], "/s", 700, more_is_better=True),
        Figure("pod creates, 32 clients", many["per_second"], "/s", 1800, more_is_better=True),
        Figure("bare gRPC calls with TLS, 32 clients", bare["per_second"], "/s"),
        Figure("creates against bare calls, 32 clients", many["per_second"] / bare["per_second"], "ratio"),
        Figure(f"list of {listing['items']:.0f} pods, p50", listing["ms"], "ms", 130),
    ]


def rest(bench: Bench) -> list[Figure]:
    """The REST API, by one small client. The budgets are upstream's own figures, by the same kind of client."""
    took = bench.rest("--pods", "5000")
    return [
        Figure("REST: GET /healthz, p50", took["bare"], "ms"),
        Figure("REST: get, p50", took["get"], "ms", 0.72),
        Figure("REST: create, p50", took["create"], "ms", 1.75),
        Figure("REST: merge patch, p50", took["patch"], "ms"),
        Figure("REST: list of 5,000 pods as JSON, the first time", took["list json, first"], "ms"),
        Figure("REST: list of 5,000 pods as JSON, p50", took["list json"], "ms", 158),
        Figure("REST: list of 5,000 pods as protobuf, p50", took["list protobuf"], "ms", 126),
        Figure("REST: list of 5,000 pods as a Table, p50", took["list table"], "ms"),
    ]


def forwarding(bench: Bench) -> list[Figure]:
    bench.run("kctl", "create", "-f", "examples/tutorial/00001/00001.yml")
    bench.run("kctl", "create", "service", "clusterip", "node", "--tcp=80:8080")
    deadline = time.monotonic() + ENDPOINT_WAIT_SECONDS
    while "10.244." not in (endpoints := bench.run("kctl", "get", "endpoints", "node", "--no-headers")):
        if time.monotonic() > deadline:
            raise SystemExit("the service got no endpoint")
        time.sleep(0.05)
    direct = endpoints.split()[1]
    service = bench.run("kctl", "get", "service", "node", "--no-headers").split()[2]
    rates = bench.inside("benchmarks.forwarding", direct, f"{service}:80", "16")
    return [
        Figure("new connections, straight to the pod", rates["direct"], "/s"),
        Figure("new connections, through the service", rates["service"], "/s"),
        Figure("service against direct", rates["ratio"], "ratio", 0.95, more_is_better=True),
    ]


def command_line(bench: Bench) -> list[Figure]:
    took = sorted(bench.timed("kctl", "get", "pods") for _ in range(7))
    return [Figure("kctl get pods", statistics.median(took), "s", 0.3)]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as home:
        bench = Bench(Path(home))
        figures: list[Figure] = []
        try:
            for part in (start, at_rest, command_line, applying.measure, pods, forwarding, verbs, rest):
                figures += part(bench)
                for figure in figures[-4:]:
                    print(f"  {figure.name}: {figure.figure:.3g} {figure.unit}", file=sys.stderr)
        finally:
            bench.run("kubelab", "down", "--delete")
    publish(figures)


if __name__ == "__main__":
    main()
