"""`make bench-scale`: a crowd of watchers, pods, nodes and services against the budgets of docs/performance.md.

Nodes are hollow: objects that say they are ready, so that the scheduler and the controllers have a thousand to choose
from. No container runs on them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import CLUSTER, Bench
from benchmarks.report import Figure, publish
from kubelab.cluster.driver import Action
from kubelab.cluster.local import LocalCluster

PODS = 18_000
HELD = ("scheduler", "controller-manager")


async def act(bench: Bench, action: Action, *components: str) -> None:
    """Start or stop every process of some components."""
    async with LocalCluster.find(CLUSTER, folder=bench.home) as cluster:
        for process in (await cluster.status()).processes:
            if process.component in components:
                await cluster.act(process.name, action)


async def memory(bench: Bench, component: str) -> float:
    """MB (PSS) of a component's processes."""
    async with LocalCluster.find(CLUSTER, folder=bench.home) as cluster:
        processes = (await cluster.status()).processes
    return sum(process.memory_bytes for process in processes if process.component == component) / 1e6


def rules(bench: Bench) -> list[Figure]:
    """Before anything else is there: kube-proxy is the one that works."""
    bench.crowd("endpoints", 1000)
    took = bench.crowd("change", 20)
    bench.run("kctl", "delete", "service", "--all")
    bench.run("kctl", "delete", "endpointslices", "--all")
    return [Figure("one of 1,000 services with 10 endpoints changes → rules in place", took["ms"], "ms", 100)]


def pods_on_nodes(bench: Bench) -> list[Figure]:
    asyncio.run(act(bench, Action.STOP, "kubelet", "kube-proxy"))
    bench.crowd("nodes", 1000)
    made, by_set = bench.crowd("replicas", 1000), bench.crowd("replica-set", 1000)
    rolled = bench.crowd("rollover", 100)
    plain = scheduled(bench, "", 5000)
    affinity, spread = scheduled(bench, "-affinity", 2000), scheduled(bench, "-spread", 2000)
    return [
        Figure("ReplicationController of 1,000, created and bound", made["seconds"], "s", 5),
        Figure("ReplicaSet of 1,000, created and bound", by_set["seconds"], "s", 5),
        Figure("Deployment of 100 rolled over, pods ready at once", rolled["seconds"], "s", 5),
        Figure("scheduler with 1,000 nodes: pods bound", plain, "/s", 500, more_is_better=True),
        Figure("scheduler with 1,000 nodes: pods with affinity", affinity, "/s", 200, more_is_better=True),
        Figure("scheduler with 1,000 nodes: pods that spread", spread, "/s", 200, more_is_better=True),
    ]


def scheduled(bench: Bench, kind: str, count: int) -> float:
    """Pods of a kind that a scheduler binds per second; all of them wait in its queue when it starts."""
    asyncio.run(act(bench, Action.STOP, "scheduler"))
    bench.crowd(f"queue{kind}", count)
    with ThreadPoolExecutor() as beside:
        watching = beside.submit(bench.crowd, f"placed{kind}", count)
        asyncio.run(act(bench, Action.START, "scheduler"))
        return watching.result()["per_second"]


def api_server(bench: Bench) -> list[Figure]:
    asyncio.run(act(bench, Action.STOP, *HELD))
    told = bench.crowd("watchers", 1000)
    many = bench.load("creates", 128, 6400)
    bench.crowd("fill", PODS - 6400)
    return [
        Figure("an event reaches 1,000 watchers", told["ms"], "ms", 300),
        Figure("pod creates, 128 clients", many["per_second"], "/s", 1800, more_is_better=True),
        Figure("api-server with 18,000 more pods: memory (PSS)", asyncio.run(memory(bench, "api-server")), "MB", 400),
    ]


def main() -> None:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as home:
        bench = Bench(Path(home))
        bench.run("kubelab", "up")
        try:
            for part in (rules, pods_on_nodes, api_server):
                for figure in part(bench):
                    print(f"  {figure.name}: {figure.figure:.3g} {figure.unit}", file=sys.stderr)
                    figures.append(figure)
        finally:
            bench.run("kubelab", "down", "--delete")
    publish(figures, "scale.json")


if __name__ == "__main__":
    main()
