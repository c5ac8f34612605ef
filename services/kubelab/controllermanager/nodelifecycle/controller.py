"""Follow the heartbeats of every node, mark a silent one Unknown, and taint it.

One key is one node; different nodes are synced in parallel. A heartbeat is a change that this process saw, timed on
its own clock: node clocks do not matter, and a new leader gives every node the whole grace period. There is no period:
each node's key comes back when its grace would be over.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import FALSE, get_condition
from kubelab.apimachinery.core.pods import READY, is_ready
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.scheme import LEASES, NODES, PODS
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_NODE, node_name
from kubelab.controllermanager.nodelifecycle.decide import (
    Zone,
    evicting,
    heartbeat,
    ready_status,
    wanted_taints,
    with_taints,
    with_unknown_conditions,
    zone_state,
)
from kubelab.controllermanager.podcontrol import write_condition
from kubelab.rpc import tracing

LEASE_NAMESPACE = "kube-node-lease"


@dataclass(slots=True)
class _NodeHealthData:
    heartbeat: tuple[object, ...]
    at: float  # monotonic


class RateLimiter:
    """So many times a second, the first at once. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def wait(self, now: float, rate: float) -> float | None:
        """Say in how many seconds it is allowed, and count it when that is 0; None: not at this rate (0)."""
        if rate <= 0:
            return None
        if self._next > now:
            return self._next - now
        self._next = now + 1 / rate
        return 0.0


class NodeLifecycleController(Reconciler[str]):
    """Own the Ready condition of silent nodes, and the health taints of all."""

    name = "nodelifecycle"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("node-controller")
        self._clock = context.clock
        self._config = context.config.node_lifecycle
        self._nodes, self._leases, self._pods = (
            context.informers.of(NODES),
            context.informers.of(LEASES),
            context.informers.of(PODS),
        )
        self._pods.add_indexers({BY_NODE: node_name})
        self._health: dict[str, _NodeHealthData] = {}
        self._registered: set[str] = set()
        self._expectations = Expectations(self._nodes, context.clock)
        self._rate_limiter = RateLimiter()
        self._zone = Zone.NORMAL
        self._nodes.add_handler(
            on_add=self._changed, on_update=lambda _, new: self._changed(new), on_delete=self._changed
        )
        self._leases.add_handler(on_add=self._renewed, on_update=lambda _, new: self._renewed(new))
        self._pods.add_handler(on_add=self._pod_changed, on_update=lambda _, new: self._pod_changed(new))

    def enqueue_all(self) -> None:
        """Look at every node, and forget old heartbeats: this process may have missed some before it led."""
        self._health.clear()
        for node in self._nodes.list():
            self._queue.add(node.metadata.name)

    def _changed(self, node: core_pb2.Node) -> None:
        self._queue.add(node.metadata.name)

    def _renewed(self, lease: coordination_pb2.Lease) -> None:
        if lease.metadata.namespace == LEASE_NAMESPACE:
            self._observe_heartbeat(lease.metadata.name)
            if self._zone is not Zone.NORMAL:
                self._queue.add(lease.metadata.name)  # one more node that answers may end the disruption

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        node = self._nodes.get(pod.spec.nodeName) if pod.spec.nodeName else None
        if node is not None and is_ready(pod) and ready_status(node) == "Unknown":
            self._queue.add(pod.spec.nodeName)

    def _observe_heartbeat(self, name: str) -> float:
        """Note a new heartbeat, if there is one; return when the last one came, in monotonic seconds."""
        node = self._nodes.get(name)
        if node is None:
            return 0.0
        lease = self._leases.get(f"{LEASE_NAMESPACE}/{name}")
        renewed = f"{lease.spec.renewTime.seconds}.{lease.spec.renewTime.nanos:09}" if lease is not None else ""
        fresh, health = heartbeat(node, renewed), self._health.get(name)
        if health is None or health.heartbeat != fresh:
            health = self._health[name] = _NodeHealthData(fresh, self._clock.monotonic())
        return health.at

    async def sync(self, key: str) -> None:
        """Look at one node: its heartbeat, its taints, and the Ready condition of its pods."""
        node = self._nodes.get(key)
        if node is None:
            self._forget(key)
            return
        if not self._expectations.satisfied(key):
            self._queue.add_after(key, LOOK_AGAIN)  # the node's own event brings the key back sooner
            return
        if key not in self._registered:
            self._registered.add(key)
            message = f"Node {key} event: Registered Node {key} in Controller"
            self._recorder.event(node, "Normal", "RegisteredNode", message)
        remaining = self._observe_heartbeat(key) + self._grace(node) - self._clock.monotonic()
        with tracing.cause(node.metadata.resourceVersion):
            try:
                if remaining <= 0:
                    node = await self._mark_unknown(node)
                else:
                    self._queue.add_after(key, remaining)
                self._judge_zone()
                node = await self._taint(key, node)
            except NotFound:
                return  # its deletion brings the key back
            if ready_status(node) == "Unknown":
                await self._mark_pods(key)

    def _forget(self, key: str) -> None:
        self._health.pop(key, None)
        self._expectations.forget(key)
        self._registered.discard(key)
        self._judge_zone()

    def _grace(self, node: core_pb2.Node) -> float:
        posted = get_condition(node.status.conditions, READY) is not None
        return self._config.node_monitor_grace_period if posted else self._config.node_startup_grace_period

    async def _mark_unknown(self, node: core_pb2.Node) -> core_pb2.Node:
        changed = with_unknown_conditions(node, self._clock.time())
        if changed is None:
            return node
        written = await self._client.update_status(changed)
        self._expectations.created(node.metadata.name, written)
        name = node.metadata.name
        self._log.warning("node is not heard any more", node=name)
        self._recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return written

    def _judge_zone(self) -> None:
        """Work the zone's state out again; when it changes, every node's taints are looked at."""
        statuses = ["Unknown" if self._is_suspect(node) else ready_status(node) for node in self._nodes.list()]
        before, self._zone = self._zone, zone_state(statuses, self._config.unhealthy_zone_threshold)
        if before is self._zone:
            return
        self._log.info("the cluster's health changed", was=before.value, now=self._zone.value)
        now = self._clock.monotonic()
        for node in self._nodes.list():
            if before is Zone.FULL_DISRUPTION and node.metadata.name in self._health:
                self._health[
                    node.metadata.name
                ].at = now  # the control plane was cut off: every node gets its grace again
            self._queue.add(node.metadata.name)

    def _is_suspect(self, node: core_pb2.Node) -> bool:
        """Say whether a node has been silent for half its grace. When all nodes stop at once, the first to be given
        up must not be emptied because the others had renewed some seconds later."""
        health = self._health.get(node.metadata.name)
        return health is not None and self._clock.monotonic() - health.at > self._grace(node) / 2

    async def _taint(self, key: str, node: core_pb2.Node) -> core_pb2.Node:
        changed = with_taints(node, wanted_taints(node, evict=self._may_evict(key, node)), self._clock.time())
        if changed is None:
            return node
        written = await self._client.update(changed)
        self._expectations.created(key, written)
        taints = [f"{t.key}:{t.effect}" for t in written.spec.taints]
        self._log.info("set the node's taints", node=key, taints=taints)
        return written

    def _may_evict(self, key: str, node: core_pb2.Node) -> bool:
        """Keep an existing NoExecute taint; add new ones at the zone's rate, none in full disruption."""
        if (
            self._zone is Zone.FULL_DISRUPTION
            or ready_status(node) == "True"
            or get_condition(node.status.conditions, READY) is None
        ):
            return False
        if evicting(node):
            return True
        wait = self._rate_limiter.wait(self._clock.monotonic(), self._rate())
        if wait:
            self._queue.add_after(key, wait)
        return wait == 0.0

    def _rate(self) -> float:
        if self._zone is Zone.NORMAL:
            return self._config.node_eviction_rate
        big = len(self._nodes.list()) > self._config.large_cluster_size_threshold
        return self._config.secondary_node_eviction_rate if big else 0.0

    async def _mark_pods(self, name: str) -> None:
        """Set Ready=False on the pods of a silent node, so that no service sends traffic to them."""
        for pod in self._pods.by_index(BY_NODE, name):
            if not is_ready(pod):
                continue
            try:
                await write_condition(self._client, pod, READY, FALSE, self._clock.time())
            except (NotFound, Conflict):
                continue  # the pod's own event brings the node's key back
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
