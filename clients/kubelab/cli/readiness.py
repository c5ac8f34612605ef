"""Waits until a cluster is usable: every process healthy, and every node Ready.

Two watches run side by side, the processes' (from the supervisor) and the nodes' (from the api-server, once it
answers). A node counts when both agree: after a ``down`` and ``up`` its object is still Ready from the last run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import taints
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.conditions import is_true
from kubelab.apimachinery.scheme import NODES
from kubelab.client.client import Client, EventType
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster.driver import ClusterStatus, Process, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.topology.record import DEFAULT_NAME, Record

GIVE_UP_RESTARTS = 3
REMEDIES = {
    ProcessState.STOPPED: "start it: kubelab fault start",
    ProcessState.PAUSED: "resume it: kubelab fault resume",
}
Progress = Callable[[str, str], None]  # an emoji and a line


class UpFailed(Exception):
    """The cluster did not come up. ``process`` names the one to blame, if it is known."""

    def __init__(self, message: str, process: str = "") -> None:
        super().__init__(message)
        self.process = process


class Faulted(UpFailed):
    """A process is down because of a fault that the user made: waiting would not help, and there is nothing to undo."""


class Readiness:
    """The progress of a start. ``progress`` is called once for each part that becomes usable."""

    def __init__(self, record: Record, progress: Progress) -> None:
        self._record, self._progress = record, progress
        self._restarts: dict[str, int] = {}
        self._healthy: set[str] = set()
        self._ready: set[str] = set()
        self._reported: set[str] = set()
        self.serving = asyncio.Event()
        self.complete = asyncio.Event()

    def heard_processes(self, status: ClusterStatus) -> None:
        """Take a status of all processes; UpFailed when one ends again and again, Faulted when one is kept down."""
        for process in status.processes:
            first = self._restarts.setdefault(process.name, process.restarts)
            if process.state is ProcessState.BACK_OFF and process.restarts - first >= GIVE_UP_RESTARTS:
                raise UpFailed(f"{process.name} keeps failing: {process.message}", process.name)
            if process.state in REMEDIES:
                raise Faulted(f"{process.name} is {process.state.value}; {self._remedy(process)}", process.name)
            if (
                process.component == "api-server"
                and process.state is ProcessState.RUNNING
                and not self.serving.is_set()
            ):
                self._progress("🧠", f"{process.name} answers at {self._address(process.node)}")
                self.serving.set()
        unhealthy = {process.node for process in status.processes if process.state is not ProcessState.RUNNING}
        self._healthy = set(self._record.node_names) - unhealthy
        self._look()

    def _remedy(self, process: Process) -> str:
        name = self._record.name
        flag = "" if name == DEFAULT_NAME else f" --name {name}"
        return f"{REMEDIES[process.state]} {process.name}{flag}"

    def _address(self, plane: str) -> str:
        record = self._record
        shown = record.https_ports or record.api_ports
        ports = {node.name: port for node, port in zip(record.control_planes, shown, strict=True)}
        return f"https://127.0.0.1:{ports[plane]}"

    def heard_node(self, node: core_pb2.Node) -> None:
        """Take a node as the api-server shows it. A new one counts when pods may be scheduled there."""
        tainted = any(taint.key == taints.NOT_READY for taint in node.spec.taints)
        ready = is_true(node.status.conditions, "Ready") and not tainted
        (self._ready.add if ready else self._ready.discard)(node.metadata.name)
        self._look()

    def _look(self) -> None:
        both = self._healthy & self._ready
        for node in self._record.node_names:
            if node in both and node not in self._reported:
                self._reported.add(node)
                self._progress("📦", f"{node} is Ready")
        if both >= set(self._record.node_names):
            self.complete.set()


async def wait(record: Record, clock: Clock, progress: Progress) -> None:
    """Return when every process is healthy and every node Ready. Raises UpFailed, Faulted, ApiError."""
    readiness = Readiness(record, progress)
    try:
        async with asyncio.TaskGroup() as group:
            watches = (
                group.create_task(_watch_processes(record, readiness), name="processes"),
                group.create_task(_watch_nodes(record, readiness, clock), name="nodes"),
            )
            await readiness.complete.wait()
            for watch in watches:
                watch.cancel()
    except ExceptionGroup as errs:
        raise errs.exceptions[0] from errs  # the watch that failed first; the other was only cancelled


async def _watch_processes(record: Record, readiness: Readiness) -> None:
    async with LocalCluster(record.name, record.socket) as cluster, aclosing(cluster.watch_status()) as answers:
        async for answer in answers:
            readiness.heard_processes(answer)
    raise UpFailed("the supervisor went away")


async def _watch_nodes(record: Record, readiness: Readiness, clock: Clock) -> None:
    await readiness.serving.wait()
    config = LoadingRules.of().load()
    client = Client.from_kubeconfig(config, caller="kubelab", clock=clock, context=record.name)
    async with client, aclosing(_nodes(client)) as nodes:
        async for node in nodes:
            readiness.heard_node(node)
    raise UpFailed("the api-server ended its answer")


async def _nodes(client: Client) -> AsyncGenerator[core_pb2.Node]:
    """Every node as it is, and as it changes."""
    listed = await client.list(NODES)
    for node in listed.items:
        yield node
    async for event in client.watch(NODES, resource_version=listed.resource_version):
        if event.object is not None and event.type is not EventType.DELETED:
            yield event.object
