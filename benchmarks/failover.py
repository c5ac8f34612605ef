"""`make bench-failover`: how long a cluster with three control planes does without what has just died, what it takes to
start it and what it weighs; the local cluster, and beside it one of docker compose where a Docker daemon answers.

Every figure is what a user waits: a writer that repeats a failed write once measures the longest pause between two
acknowledged ones; for a leader, it is the time until its work is done by the next one. All durations of the cluster are
Kubernetes' defaults (a lease of 15 s, a node's grace of 50 s), so most of these seconds are patience by design.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from benchmarks.bench import CLUSTER, Bench
from benchmarks.load import pod
from benchmarks.report import Figure, publish_beside
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import AlreadyExists, ApiError
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import LEASES, NODES, PODS, REPLICATION_CONTROLLERS, Resource
from kubelab.client.client import Client
from kubelab.cluster.driver import Action, ClusterDriver, ProcessState
from kubelab.cluster.find import find_cluster

PATIENCE_SECONDS = 90.0
SETTLED_WRITES = 50  # acknowledged before a fault and after it
T = TypeVar("T", bound=Message)


class Writer:
    """Creates one small object after the other, each at most twice."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.acknowledged = 0
        self.failed: list[str] = []
        self.longest = 0.0  # seconds between two acknowledged writes
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """Write until cancelled."""
        run, last = secrets.token_hex(3), time.monotonic()
        while True:
            name = f"write-{run}-{self.acknowledged + len(self.failed)}"
            try:
                await self._write(name)
            except ApiError as err:
                self.failed.append(f"{name}: {err.message}")
            else:
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
                self.acknowledged += 1
            async with self._moved:
                self._moved.notify_all()

    async def _write(self, name: str) -> None:
        written = core_pb2.ConfigMap()
        written.metadata.name = name
        try:
            await self._client.create(written, "default")
        except ApiError:
            with contextlib.suppress(AlreadyExists):  # the first one was written, its answer was lost
                await self._client.create(written, "default")

    async def more(self, count: int) -> None:
        """Wait for so many more acknowledged writes."""
        goal = self.acknowledged + count
        async with asyncio.timeout(PATIENCE_SECONDS), self._moved:
            await self._moved.wait_for(lambda: self.acknowledged >= goal)


@asynccontextmanager
async def writing(client: Client) -> AsyncGenerator[Writer]:
    """A writer at work, whose longest pause is counted from here."""
    writer = Writer(client)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run(), name="writer")
        await writer.more(SETTLED_WRITES)
        writer.longest = 0.0
        yield writer
        task.cancel()


async def seen(client: Client, resource: Resource[T], namespace: str, true: Callable[[T], bool]) -> T:
    """Wait until some object is as wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                listed = await client.list(resource, namespace)
                for found in listed.items:
                    if true(found):
                        return found
                async for event in client.watch(resource, namespace, resource_version=listed.resource_version):
                    if event.object is not None and true(event.object):
                        return event.object
            except ApiError:
                await asyncio.sleep(0.1)  # its server has died with the rest: list again at another


class Lab:
    """A cluster to break."""

    def __init__(self, cluster: ClusterDriver, client: Client) -> None:
        self.cluster, self.client = cluster, client

    async def leader(self, component: str) -> str:
        """Name the process that leads."""
        if component == "etcd":
            return next(p.name for p in (await self.cluster.status()).processes if p.leader)
        lease = await self.client.get(LEASES, f"kube-{component}", "kube-system")
        return lease.spec.holderIdentity.split("_")[0]

    async def pause_of_writes(self, victim: str, action: Action) -> float:
        """Seconds without an acknowledged write when a process dies or freezes."""
        async with writing(self.client) as writer:
            await self.cluster.act(victim, action)
            await writer.more(SETTLED_WRITES)
        if writer.failed:
            raise SystemExit(f"{victim}: writes failed twice: {writer.failed[:3]}")
        if action is Action.PAUSE:
            await self.cluster.act(victim, Action.RESUME)
        await self.settle()
        return writer.longest

    async def settle(self) -> None:
        """Wait until every process is well again."""
        async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(self.cluster.watch_status()) as answers:
            async for answer in answers:
                if all(process.state is ProcessState.RUNNING for process in answer.processes):
                    return

    async def scheduler(self, action: Action) -> float:
        """Seconds from the leader's end to the first pod that the next one places."""
        victim = await self.leader("scheduler")
        await self.cluster.act(victim, action)
        began = time.monotonic()
        name = f"placed-{secrets.token_hex(3)}"
        await self.client.create(pod(name, scheduled=True), "default")
        await seen(self.client, PODS, "default", lambda p: p.metadata.name == name and bool(p.spec.nodeName))
        took = time.monotonic() - began
        await self.client.delete(PODS, name, "default", grace_period_seconds=0)
        return await self._again(victim, took)

    async def controller_manager(self, action: Action) -> float:
        """Seconds from the leader's end to the first pod that the next one makes."""
        victim = await self.leader("controller-manager")
        await self.cluster.act(victim, action)
        began = time.monotonic()
        rc = core_pb2.ReplicationController()
        rc.metadata.name = f"made-{secrets.token_hex(3)}"
        rc.spec.replicas = 1
        rc.spec.selector["bench"] = rc.metadata.name
        rc.spec.template.metadata.labels["bench"] = rc.metadata.name
        rc.spec.template.spec.CopyFrom(pod("x", scheduled=False).spec)
        await self.client.create(rc, "default")
        await seen(self.client, PODS, "default", lambda p: p.metadata.labels.get("bench") == rc.metadata.name)
        took = time.monotonic() - began
        await self.client.delete(REPLICATION_CONTROLLERS, meta_of(rc).name, "default", propagation_policy="Background")
        return await self._again(victim, took)

    async def _again(self, victim: str, took: float) -> float:
        state = {process.name: process.state for process in (await self.cluster.status()).processes}[victim]
        if state in (ProcessState.STOPPED, ProcessState.PAUSED):
            await self.cluster.act(victim, Action.START if state is ProcessState.STOPPED else Action.RESUME)
        await self.settle()
        return took

    async def node(self, name: str) -> float:
        """Seconds from a kubelet's end to its node being NotReady."""
        await self.cluster.act(f"kubelet@{name}", Action.STOP)
        began = time.monotonic()
        await seen(self.client, NODES, "", lambda n: n.metadata.name == name and not _ready(n))
        took = time.monotonic() - began
        await self.cluster.act(f"kubelet@{name}", Action.START)
        await seen(self.client, NODES, "", lambda n: n.metadata.name == name and _ready(n))
        return took


def _ready(node: core_pb2.Node) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


async def measure(home: Path, name: str) -> list[Figure]:
    """Weigh it, then break one thing after the other, and let it heal in between."""
    client = Client.from_kubeconfig(home / "kubeconfig", caller="bench", context=name)
    cluster = find_cluster(name, folder=home)
    try:
        async with client:
            lab = Lab(cluster, client)
            await lab.settle()
            weight = sum(process.memory_bytes for process in (await cluster.status()).processes) / 2**20
            return [Figure("memory of all processes", weight, "MB"), *await failovers(lab)]
    finally:
        await cluster.close()


async def failovers(lab: Lab) -> list[Figure]:
    """Seconds without, for each part."""
    figures: list[Figure] = []

    def add(name: str, seconds: float) -> None:
        figures.append(Figure(name, seconds, "s"))
        print(f"  {name}: {seconds:.2f} s", file=sys.stderr)

    servers = [p.name for p in (await lab.cluster.status()).processes if p.component == "api-server"]
    for what, action in (("killed", Action.KILL), ("frozen", Action.PAUSE)):
        pauses = [await lab.pause_of_writes(server, action) for server in servers]
        add(f"api-server {what}: pause of writes", max(pauses))  # one of them is the writer's
        add(f"etcd leader {what}: pause of writes", await lab.pause_of_writes(await lab.leader("etcd"), action))
    for what, action in (("stopped", Action.STOP), ("killed", Action.KILL), ("frozen", Action.PAUSE)):
        add(f"scheduler {what}: next pod placed", await lab.scheduler(action))
        add(f"controller-manager {what}: next pod made", await lab.controller_manager(action))
    add("kubelet stopped: node NotReady", await lab.node("node-2"))
    return figures


def local(home: Path) -> list[Figure]:
    """The local cluster: three control planes and two workers."""
    bench = Bench(home)
    try:
        took = bench.timed("kubelab", "up", "--control-planes", "3")
        return [Figure("start, to all nodes Ready", took, "s"), *asyncio.run(measure(home, CLUSTER))]
    finally:
        bench.run("kubelab", "down", "--delete")


def compose(home: Path) -> list[Figure]:
    """The compose cluster with its profile ha: three of everything and three workers. Its images are built before."""
    bench = Bench(home)
    tool = ["docker", "compose"] if bench.answers("docker", "compose", "version") else ["docker-compose"]
    bench.environment |= {"COMPOSE_PROJECT_NAME": "bench", "KUBELAB_API_PORT": "0", "KUBELAB_HA_PORT": "0"}
    bench.environment |= {"KUBELAB_NETWORK": "192.168.48", "KUBELAB_CLUSTER": "bench-compose"}
    bench.run(*tool, "--profile", "ha", "build", deadline=900)
    try:
        began = time.perf_counter()
        bench.run(*tool, "--profile", "ha", "up", "-d", "--no-build", deadline=300)
        bench.run("kubelab", "compose", "kubeconfig", "--project", "bench", "--name", "bench-compose")
        bench.run("kctl", "wait", "node", "--all", "--for=condition=Ready", "--timeout=60s")
        took = time.perf_counter() - began
        return [Figure("start, to all nodes Ready", took, "s"), *asyncio.run(measure(home, "bench-compose"))]
    finally:
        bench.run(*tool, "--profile", "ha", "down", "--volumes", "--timeout", "5", deadline=300)


def main() -> None:
    columns: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as home:
        columns["local"] = local(Path(home))
        if Bench(Path(home)).answers("docker", "version"):
            columns["compose"] = compose(Path(home))
        else:
            print("no Docker daemon answers: the local cluster only", file=sys.stderr)
    publish_beside(columns, "failover.json")


if __name__ == "__main__":
    main()
