"""Clients of three api-servers while one of them, or a member of etcd, is cut off: what fails once succeeds again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import AlreadyExists, ApiError
from kubelab.apimachinery.scheme import CONFIG_MAPS, LEASES, NODES
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.client.transport import Connections
from kubelab.cluster.driver import ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.topology.partitions import Partition
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.root

RENEW_SECONDS = 2  # instead of ten; a node is believed for fifty seconds all the same
UP = f"--control-planes 3 --nodes 4 --set kubelet.nodeLeaseRenewInterval={RENEW_SECONDS}s"
PLANES = ("cp-1", "cp-2", "cp-3")
CLOCK = SystemClock()
PAUSE_SECONDS = 20.0  # without an acknowledged write, at most; three to four on a machine that is not busy


@dataclass
class Writer:
    """Creates and reads one small object after the other, each at most twice, and prefers one server."""

    client: Client
    name: str
    acknowledged: int = 0
    longest: float = 0.0
    failed: list[str] = field(default_factory=list[str])
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        last = CLOCK.monotonic()
        for number in itertools.count():
            name = f"{self.name}-{number}"
            try:
                await self._write(name)
                await self.client.get(CONFIG_MAPS, name, "default")
            except ApiError as err:
                self.failed.append(f"{name}: {err.reason}: {err.message}")
            now = CLOCK.monotonic()
            self.longest, last = max(self.longest, now - last), now
            self.acknowledged += 1
            async with self.moved:
                self.moved.notify_all()

    async def _write(self, name: str) -> None:
        written = core_pb2.ConfigMap()
        written.metadata.name = name
        try:
            await self.client.create(written, "default")
        except ApiError:
            with contextlib.suppress(AlreadyExists):  # it was done; its answer was lost
                await self.client.create(written, "default")

    async def more(self, count: int) -> None:
        goal = self.acknowledged + count
        async with asyncio.timeout(60), self.moved:
            await self.moved.wait_for(lambda: self.acknowledged >= goal)


@contextlib.asynccontextmanager
async def writing(terminal: Terminal, prefix: str) -> AsyncGenerator[list[Writer]]:
    """One writer for each api-server that it asks first."""
    access = Kubeconfig.load(terminal.home / "kubeconfig").access()
    assert len(access.servers) == len(PLANES)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        writers: list[Writer] = []
        for n, plane in enumerate(PLANES):
            client = await stack.enter_async_context(Client.from_kubeconfig(access, caller="test"))
            transport = client._transport
            assert isinstance(transport, Connections)
            transport._current = n
            writers.append(Writer(client, f"{prefix}-{plane}"))
        tasks = [group.create_task(writer.run(), name=writer.name) for writer in writers]
        for writer in writers:
            await writer.more(5)
            writer.longest = 0.0
        yield writers
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def parted(cluster: LocalCluster, partitions: Iterable[tuple[str, str]]) -> AsyncGenerator[None]:
    try:
        for source, target in partitions:
            await cluster.partition(Partition(source, target))
        yield
    finally:
        await cluster.heal()
    async with asyncio.timeout(60), contextlib.aclosing(cluster.watch_status()) as answers:
        async for answer in answers:
            if all(process.state in (ProcessState.RUNNING, ProcessState.UNKNOWN) for process in answer.processes):
                return


CUTS = {
    "an api-server without etcd": [("api-server@cp-1", f"etcd@{plane}") for plane in PLANES],
    "a member of etcd without the others": [("etcd@cp-1", "etcd@cp-2"), ("etcd@cp-1", "etcd@cp-3")],
    "a whole control plane": [("cp-2", "cp-1"), ("cp-2", "cp-3"), ("cp-2", "node-1")],
}


@pytest.mark.parametrize("cut", CUTS)
async def test_requests_succeed_at_the_second_attempt_whatever_is_cut_off(terminal: Terminal, cut: str) -> None:
    prefix = f"cut-{list(CUTS).index(cut)}"
    async with (
        LocalCluster.find(terminal.cluster, folder=terminal.home) as cluster,
        writing(terminal, prefix) as writers,
    ):
        async with parted(cluster, CUTS[cut]):
            for writer in writers:
                await writer.more(50)
        for writer in writers:
            await writer.more(5)
    assert not [failure for writer in writers for failure in writer.failed]
    pauses = {writer.name: round(writer.longest, 2) for writer in writers}
    assert max(pauses.values()) < PAUSE_SECONDS, pauses


async def test_a_worker_that_is_cut_off_from_one_control_plane_stays_ready(terminal: Terminal) -> None:
    """Its kubelet renews its lease elsewhere long before its fifty seconds are over."""
    async with (
        LocalCluster.find(terminal.cluster, folder=terminal.home) as cluster,
        Client.from_kubeconfig(terminal.home / "kubeconfig", caller="test") as client,
        asyncio.TaskGroup() as group,
    ):
        nodes = Informer(client, NODES)
        flaps: list[str] = []

        def look(_: core_pb2.Node, new: core_pb2.Node) -> None:
            ready = next(c for c in new.status.conditions if c.type == "Ready")
            if new.metadata.name == "node-1" and ready.status != "True":
                flaps.append(ready.message)

        nodes.add_handler(on_update=look)
        task = group.create_task(nodes.run(), name="nodes")
        await nodes.wait_synced()
        for plane in PLANES:
            async with parted(cluster, [("node-1", plane)]):
                await _renewed(client, "node-1")
        task.cancel()
    assert not flaps


async def _renewed(client: Client, node: str) -> None:
    """Wait until a node has renewed its lease twice."""
    held = await client.list(LEASES, "kube-node-lease", field_selector=f"metadata.name={node}")
    events = client.watch(
        LEASES,
        "kube-node-lease",
        resource_version=held.resource_version,
        field_selector=f"metadata.name={node}",
        bookmarks=False,
    )
    seen = 0
    async with asyncio.timeout(35), contextlib.aclosing(events):
        async for _ in events:
            seen += 1
            if seen == 2:
                return
