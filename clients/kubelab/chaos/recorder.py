"""Watches a cluster during an experiment and records every change.

Side by side run one watch of the processes (by the driver) and one informer for each kind of object (by the
api-server). They go on through every outage; while the api-server is away, the recording lacks what only it reports.
Cancelling :meth:`Recorder.run` stops them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.pods import is_ready
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.scheme import ENDPOINTS, EVENTS, LEASES, NODES, PODS, SERVICES
from kubelab.chaos import targets
from kubelab.chaos.recording import RecordingWriter
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.cluster.driver import ClusterDriver, ClusterStatus

AGAIN_SECONDS = 0.5
LEASE_NAMESPACE = "kube-system"
PodState = str


class _Quiet:
    """A logger whose lines would only disturb the experiment's own: outages are what is looked at here."""

    def warning(self, event: str, **values: Any) -> None: ...

    def exception(self, event: str, **values: Any) -> None: ...


class Recorder:
    """See the module. ``changed`` is set at every change of anything."""

    def __init__(
        self, driver: ClusterDriver, client: Client, namespace: str, writer: RecordingWriter, clock: Clock
    ) -> None:
        self._driver, self._writer, self._clock = driver, writer, clock
        self._namespace = namespace
        self.changed = asyncio.Event()
        self.leaders: dict[str, str] = {}  # role → process
        self.status: ClusterStatus | None = None
        quiet = _Quiet()
        self.pods = Informer(client, PODS, namespace=namespace, log=quiet)
        self.nodes = Informer(client, NODES, log=quiet)
        self.leases = Informer(client, LEASES, namespace=LEASE_NAMESPACE, log=quiet)
        self.services = Informer(client, SERVICES, log=quiet)
        self.endpoints = Informer(client, ENDPOINTS, log=quiet)
        self.events = Informer(client, EVENTS, log=quiet)
        self._old_events = True  # those of the first list are not news
        self.pods.add_handler(on_add=self._pod, on_update=lambda _, pod: self._pod(pod), on_delete=self._pod_gone)
        self.nodes.add_handler(on_add=self._node, on_update=lambda _, node: self._node(node))
        self.leases.add_handler(on_add=self._lease, on_update=lambda _, lease: self._lease(lease))
        self.events.add_handler(on_add=self._event, on_update=lambda _, event: self._event(event))
        for informer in (self.services, self.endpoints):
            informer.add_handler(on_add=self._notify, on_update=self._notify, on_delete=self._notify)

    @property
    def _informers(self) -> tuple[Informer[Any], ...]:
        return self.pods, self.nodes, self.leases, self.services, self.endpoints, self.events

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_processes(), name="processes")
            for informer in self._informers:
                group.create_task(informer.run(), name=informer.name)

    async def wait_synced(self) -> None:
        """Wait until everything has been seen once."""
        for informer in self._informers:
            await informer.wait_synced()
        self._old_events = False
        await self.until(lambda: self.status is not None)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, looked at after every change."""
        while not holds():
            self.changed.clear()
            await self.changed.wait()

    async def _watch_processes(self) -> None:
        while True:
            try:
                async with aclosing(self._driver.watch_status()) as answers:
                    async for status in answers:
                        self._processes(status)
            except ApiError as err:
                self._writer.event("Warning", "NoStatus", "cluster", str(err))
            await self._clock.sleep(jittered(AGAIN_SECONDS))

    def _processes(self, status: ClusterStatus) -> None:
        self.status = status
        for process in status.processes:
            self._writer.state("processes", process.name, process.state.value)
        self._lead("etcd", targets.etcd_leader(status))
        self._notify()

    def _lease(self, lease: coordination_pb2.Lease) -> None:
        role = targets.LEASES.get(lease.metadata.name)
        if role:
            self._lead(role, lease.spec.holderIdentity)
        self._notify()

    def _lead(self, role: str, process: str) -> None:
        self.leaders[role] = process
        self._writer.state("leaders", role, process)

    def _node(self, node: core_pb2.Node) -> None:
        self._writer.state("nodes", node.metadata.name, node_state(node))
        self._notify()

    def _pod(self, pod: core_pb2.Pod) -> None:
        self._writer.state("pods", pod.metadata.name, pod.spec.nodeName, pod_state(pod))
        self._notify()

    def _pod_gone(self, pod: core_pb2.Pod) -> None:
        self._writer.state("pods", pod.metadata.name, pod.spec.nodeName, "Gone")
        self._notify()

    def _event(self, event: core_pb2.Event) -> None:
        about = event.involvedObject
        if self._old_events or (about.namespace != self._namespace and about.kind != "Node"):
            return
        self._writer.event(event.type, event.reason, f"{about.kind.lower()}/{about.name}", event.message)

    def _notify(self, *_: object) -> None:
        self.changed.set()


def pod_state(pod: core_pb2.Pod) -> PodState:
    """One word for a pod, as a person would say it: ``Ready`` is a running pod that takes requests."""
    if pod.metadata.HasField("deletionTimestamp"):
        return "Terminating"
    if pod.status.phase != "Running":
        return pod.status.phase or "Pending"
    return "Ready" if is_ready(pod) else "NotReady"


def node_state(node: core_pb2.Node) -> str:
    """``Ready``, ``NotReady``, or ``Unknown`` when its kubelet is not heard any more."""
    for condition in node.status.conditions:
        if condition.type == "Ready":
            return {"True": "Ready", "False": "NotReady"}.get(condition.status, "Unknown")
    return "NotReady"
