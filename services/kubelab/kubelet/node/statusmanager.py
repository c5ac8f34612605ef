"""Keeps the kubelet's Node object: registers it, tells its status, hands its pod CIDR to the runtime.

One task (:meth:`NodeStatusManager.run`) does all of it, so nothing here is parallel. It looks every ten seconds, and at
once when the node object, the runtime's connection or its network changed; it writes when something changed, or after
five minutes. The heartbeat is the Lease's (:mod:`kubelab.kubelet.node.lease`).

A runtime that is only restarted does not make its node unready: what it said last counts for a few seconds more, as
upstream's kubelet has patience with it (for thirty).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.core.conditions import is_true
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import NODES
from kubelab.kubelet.cri.client import RuntimeFailure
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.node import machine as machines
from kubelab.kubelet.node import status as nodes
from kubelab.rpc import tracing

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
UNREADY_LOOK_SECONDS = 1.0
LOOK_JITTER = 0.04  # upstream's: so that nodes which began together do not report together for ever
IMAGES_SECONDS = 60.0
CONFLICTS = 5


class NodeStatusManager:
    """See the module."""

    def __init__(self, deps: Dependencies) -> None:
        self._client, self._runtime, self._recorder = deps.client, deps.runtime, deps.recorder
        self._facts, self._clock, self._log, self._config = deps.facts, deps.clock, deps.log, deps.config
        self._runtime_lost_at: float | None = None
        self._wake = asyncio.Event()
        self._registered = asyncio.Event()
        self._node: core_pb2.Node | None = None
        self._ours = ""
        """The uid of the object that was registered or taken over."""
        self._started = False
        self._told_cidr = ""
        self._reported_at = 0.0
        self._images_at: float | None = None
        deps.informers.nodes.add_handler(
            on_add=self._seen, on_update=lambda _, new: self._seen(new), on_delete=self._gone
        )

    # --- news

    def runtime_changed(self) -> None:
        """The runtime came or went: it has to be told the pod CIDR again, and the node's status may change."""
        self._told_cidr = ""
        self._images_at = None
        self._wake.set()

    async def wait_registered(self) -> None:
        await self._registered.wait()

    @property
    def node(self) -> core_pb2.Node | None:
        """The newest Node object known, ours or the informer's."""
        return self._node

    def _seen(self, node: core_pb2.Node) -> None:
        if node.metadata.name != self._facts.name:
            return
        if self._node is None or self._node.metadata.uid != node.metadata.uid or _newer(node, self._node):
            moved = self._node is None or self._node.spec.podCIDR != node.spec.podCIDR
            self._node = node
            if moved:
                self._wake.set()

    def _gone(self, node: core_pb2.Node) -> None:
        if node.metadata.name == self._facts.name:
            self._node = None
            self._wake.set()

    # --- the loop

    async def run(self) -> None:
        """Register and keep the status until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            try:
                with tracing.root():
                    await self.sync()
                failures = 0
            except errors.ApiError as err:
                self._log.warning("node status not written", reason=err.reason, error=err.message)
                failures += 1
            ready = self._node is not None and _is_ready(self._node.status)
            steady = ready and self._runtime_lost_at is None
            often = self._config.node_status_update_frequency
            wait = often if steady else min(often, UNREADY_LOOK_SECONDS)
            wait = jittered(wait, LOOK_JITTER)
            if failures:
                wait = jittered(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])
            try:
                async with self._clock.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def sync(self) -> None:
        """One look: the runtime, the machine, the object; one write if something changed."""
        await self._hand_on_cidr()
        await self._read_facts()
        if self._node is None or self._node.metadata.uid != self._ours:
            await self._register()
            await self._hand_on_cidr()
        await self._report()

    async def _hand_on_cidr(self) -> None:
        cidr = self._node.spec.podCIDR if self._node else ""
        if not cidr or cidr == self._told_cidr:
            return
        try:
            await self._runtime.set_pod_cidr(cidr)
        except RuntimeFailure as err:
            self._log.warning("runtime was not told the pod CIDR", cidr=cidr, error=str(err))
        else:
            self._told_cidr = cidr
            self._log.info("pod CIDR", cidr=cidr)

    async def _read_facts(self) -> None:
        pressure = await asyncio.to_thread(machines.read_pressure, self._config.state_dir)
        facts = replace(self._facts, pressure=pressure)
        try:
            version = await self._runtime.handshake() if not facts.runtime_version or facts.runtime is None else ""
            facts = replace(
                facts,
                runtime=tuple(await self._runtime.conditions()),
                runtime_version=version or facts.runtime_version,
            )
            now = self._clock.monotonic()
            if self._images_at is None or now - self._images_at >= IMAGES_SECONDS:
                facts = replace(facts, images=tuple(await self._runtime.images()))
                self._images_at = now
            self._runtime_lost_at = None
        except RuntimeFailure as err:
            self._log.warning("container runtime does not answer", error=str(err))
            now = self._clock.monotonic()
            if self._runtime_lost_at is None:
                self._runtime_lost_at = now
            if now - self._runtime_lost_at >= self._config.runtime_grace_period:
                facts = replace(facts, runtime=None)
        self._facts = facts

    async def _register(self) -> None:
        """Make the Node object, or take over the one that is there: after a restart it is ours already."""
        now = self._clock.time()
        if not self._started:
            self._started = True
            self._recorder.event(self._ref(), "Normal", "Starting", "Starting kubelet.")
        fresh = nodes.new_node(self._facts, now)
        try:
            node = await self._client.create(fresh)
        except errors.AlreadyExists:
            node = await self._client.get(NODES, self._facts.name)
            own_labels = nodes.labels(self._facts)
            if any(node.metadata.labels.get(k) != v for k, v in own_labels.items()):
                node.metadata.labels.update(own_labels)
                node = await self._client.update(node)
            self._log.info("node was registered before", node=self._facts.name)
        else:
            self._log.info("node registered", node=self._facts.name)
            self._tell(core_pb2.NodeStatus(), fresh.status)
        self._node, self._ours = node, node.metadata.uid
        self._registered.set()

    async def _report(self) -> None:
        for _ in range(CONFLICTS):
            node = self._node
            if node is None:
                return
            now = self._clock.time()
            status = nodes.status(self._facts, node.status, now)
            due = now - self._reported_at >= self._config.node_status_report_frequency
            if not due and not nodes.changed(status, node.status):
                return
            sent = deep_copy(node)
            sent.status.CopyFrom(status)
            try:
                answer = await self._client.update_status(sent)
            except errors.Conflict:
                self._node = await self._client.get(NODES, self._facts.name)
                continue
            except errors.NotFound:
                self._node = None  # deleted while it lives: it registers again
                self._wake.set()
                return
            self._tell(node.status, status)
            self._reported_at = now
            if self._node is None or _newer(answer, self._node):
                self._node = answer
            return
        raise errors.Conflict(f"node {self._facts.name} changes faster than its status can be written")

    def _tell(self, last: core_pb2.NodeStatus, new: core_pb2.NodeStatus) -> None:
        for reason in nodes.transitions(last, new):
            self._recorder.event(self._ref(), "Normal", reason, f"Node {self._facts.name} status is now: {reason}")

    def _ref(self) -> core_pb2.ObjectReference:
        # Upstream's kubelet puts the name where the uid belongs, because it tells before it knows the uid.
        return core_pb2.ObjectReference(kind="Node", apiVersion="v1", name=self._facts.name, uid=self._facts.name)


def _is_ready(status: core_pb2.NodeStatus) -> bool:
    return is_true(status.conditions, "Ready")


def _newer(one: core_pb2.Node, other: core_pb2.Node) -> bool:
    a, b = one.metadata.resourceVersion, other.metadata.resourceVersion
    return a.isdigit() and b.isdigit() and int(a) > int(b)
