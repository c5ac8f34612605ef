"""Nodes and the pods on them, with the pods that are only assumed to be there.

::

              assume                    the watch shows it
    (queue) ─────────▶ assumed ──────────────────────────▶ confirmed ──▶ gone
               ▲          │ forget (binding failed), or expire (bound, never seen, and not trusted)
               └──────────┘

Everything here is synchronous: between two awaits of the scheduling loop the cache is its own snapshot.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.scheduler import clusterevents
from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.namespaces import NamespaceLabels
from kubelab.scheduler.podindex import PodIndex
from kubelab.scheduler.topology import Topology
from kubelab.scheduler.workloads import WorkloadSelectors


@dataclass(slots=True)
class _Placed:
    pod: PodInfo
    node: str
    assumed: bool
    deadline: float | None = None  # when a bound pod should have been seen by


class Cache:
    """What the scheduler decides on. ``workloads`` and ``namespaces`` are kept by the event handlers."""

    def __init__(self) -> None:
        self.topology = Topology()
        self.pods = PodIndex(self.topology)
        self.workloads = WorkloadSelectors()
        self.namespaces = NamespaceLabels()
        self.budgets: dict[str, policy_pb2.PodDisruptionBudget] = {}
        self._nominated: dict[str, _Placed] = {}
        self.image_nodes: Counter[str] = Counter()
        self._infos: dict[str, NodeInfo] = {}
        self._order: list[NodeInfo] = []
        self._placed: dict[str, _Placed] = {}
        self._bound: dict[str, _Placed] = {}  # assumed and bound, in the order of their deadlines
        self.tainted = self.softly_tainted = self.cordoned = 0

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """The nodes that exist, in a stable order."""
        return self._order

    def node(self, name: str) -> NodeInfo | None:
        """Give a node that exists."""
        return self.topology.nodes.get(name)

    # Nodes

    def set_node(self, node: core_pb2.Node) -> frozenset[ClusterEvent]:
        """Take over a node object and say what about it changed."""
        name = node.metadata.name
        info = self._infos.get(name)
        if info is None:
            info = self._infos[name] = NodeInfo(name)
        before = _describe(info)
        was_present = info.present
        self._tally(info, -1)
        info.describe(node)
        self._tally(info, 1)
        if not was_present:
            self._order.append(info)
            self.topology.nodes[name] = info
            self.topology.changed()
            return frozenset({clusterevents.NODE_ADDED})
        after = _describe(info)
        changed = frozenset(event for event in after if after[event] != before[event])
        if clusterevents.NODE_LABELED in changed:
            self.topology.changed()
        return changed

    def remove_node(self, name: str) -> None:
        """Drop a node; its pods stay counted until the watch tells that they are gone, too."""
        info = self._infos.get(name)
        if info is None or not info.present:
            return
        self._tally(info, -1)
        info.present = False
        del self.topology.nodes[name]
        self.topology.changed()
        self._order = [other for other in self._order if other is not info]
        if not info.pods:
            del self._infos[name]

    def _tally(self, info: NodeInfo, sign: int) -> None:
        if info.present:
            self.tainted += sign * bool(info.hard_taints)
            self.softly_tainted += sign * bool(info.soft_taints)
            self.cordoned += sign * info.unschedulable
            for image in info.images:
                self.image_nodes[image] += sign

    # Pods

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count a pod to a node before the api-server knows of it."""
        assert pod.uid not in self._placed, f"{pod.key} is placed already"
        self.unnominate(pod.uid)
        self._place(pod, node, assumed=True)

    def binding_finished(self, uid: str, deadline: float) -> None:
        """Expect the watch to show the pod by the deadline (monotonic seconds)."""
        placed = self._placed.get(uid)
        if placed is not None and placed.assumed:
            placed.deadline = deadline
            self._bound[uid] = placed

    def forget(self, uid: str) -> None:
        """Take back an assumption; a confirmed pod stays."""
        placed = self._placed.get(uid)
        if placed is not None and placed.assumed:
            self._unplace(uid)

    def expire(self, now: float) -> list[PodInfo]:
        """Forget the bound pods that were never seen, and return them."""
        expired: list[PodInfo] = []
        while self._bound:
            uid, placed = next(iter(self._bound.items()))
            if placed.deadline is None or placed.deadline > now:
                break
            self._unplace(uid)
            expired.append(placed.pod)
        return expired

    def set_pod(self, pod: PodInfo) -> frozenset[ClusterEvent]:
        """Take over an assigned pod that the watch shows, and say what about it is new; it wins over an assumption."""
        self.unnominate(pod.uid)
        placed = self._placed.get(pod.uid)
        if placed is not None:
            self._unplace(pod.uid)
        self._place(pod, pod.node, assumed=False)
        if placed is None or placed.assumed:
            return frozenset({clusterevents.POD_ADDED})
        return frozenset({clusterevents.POD_LABELED}) if placed.pod.labels != pod.labels else frozenset()

    def remove_pod(self, uid: str) -> bool:
        """Drop a pod that is gone or has ended; False if it was not here."""
        self.unnominate(uid)
        if uid not in self._placed:
            return False
        self._unplace(uid)
        return True

    # Pods for which room is made: they are not placed, but others of no higher priority leave their room alone.

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Take note that room is made for a pod on a node."""
        self._nominated[pod.uid] = _Placed(pod, node, assumed=False)

    def unnominate(self, uid: str) -> None:
        self._nominated.pop(uid, None)

    def nominated_node(self, uid: str) -> NodeInfo | None:
        """Give the node on which room is made for a pod, if it exists."""
        nominated = self._nominated.get(uid)
        return self.node(nominated.node) if nominated is not None else None

    def nominated_on(self, node: str) -> list[PodInfo]:
        """List the pods for which room is made on a node."""
        return [nominated.pod for nominated in self._nominated.values() if nominated.node == node]

    @contextlib.contextmanager
    def with_nominated(self, pod: PodInfo) -> Generator[frozenset[str]]:
        """Count the nominated pods that go before a pod to their nodes, for the time of a question; give the nodes."""
        if not self._nominated:
            yield frozenset()
            return
        counted = [
            other
            for uid, other in self._nominated.items()
            if uid != pod.uid
            and uid not in self._placed
            and other.pod.priority >= pod.priority
            and other.node in self.topology.nodes
        ]
        for other in counted:
            self.lower(other.pod, other.node)
        try:
            yield frozenset(other.node for other in counted)
        finally:
            for other in counted:
                self.lift(other.pod, other.node)

    def lift(self, pod: PodInfo, node: str) -> None:
        """Do not count a pod for the time of a question; :meth:`lower` counts it again."""
        self._infos[node].remove(pod)
        self.pods.remove(pod)

    def lower(self, pod: PodInfo, node: str) -> None:
        """Count a pod to a node for the time of a question."""
        self._infos[node].add(pod)
        self.pods.add(pod, node)

    def is_assumed(self, uid: str) -> bool:
        placed = self._placed.get(uid)
        return placed is not None and placed.assumed

    def _place(self, pod: PodInfo, node: str, *, assumed: bool) -> None:
        info = self._infos.get(node)
        if info is None:
            info = self._infos[node] = NodeInfo(node)
        info.add(pod)
        self.pods.add(pod, node)
        self._placed[pod.uid] = _Placed(pod, node, assumed)

    def _unplace(self, uid: str) -> None:
        placed = self._placed.pop(uid)
        self._bound.pop(uid, None)
        info = self._infos[placed.node]
        info.remove(placed.pod)
        self.pods.remove(placed.pod)
        if not info.present and not info.pods:
            del self._infos[placed.node]

    def statistics(self) -> dict[str, int]:
        """Count nodes, pods and assumed pods."""
        assumed = sum(placed.assumed for placed in self._placed.values())
        return {"nodes": len(self._order), "pods": len(self._placed), "assumed": assumed}

    def check_invariants(self) -> None:
        """Raise AssertionError when the cache contradicts itself."""
        assert {info.name for info in self._order} == {n for n, info in self._infos.items() if info.present}
        assert sum(len(info.pods) for info in self._infos.values()) == len(self._placed)
        for uid, placed in self._placed.items():
            assert self._infos[placed.node].pods[uid] is placed.pod
        for uid, placed in self._bound.items():
            assert placed.assumed, uid
            assert self._placed[uid] is placed, uid
        for info in self._infos.values():
            info.check_invariants()
            assert info.present or info.pods, info.name
        assert self.tainted == sum(bool(info.hard_taints) for info in self._order)
        assert self.softly_tainted == sum(bool(info.soft_taints) for info in self._order)
        assert self.cordoned == sum(info.unschedulable for info in self._order)
        assert self.topology.nodes == {info.name: info for info in self._order}
        assert +self.image_nodes == Counter(image for info in self._order for image in info.images)
        self.pods.check_invariants()


def _describe(info: NodeInfo) -> dict[ClusterEvent, object]:
    return {
        clusterevents.NODE_RESIZED: (info.cpu, info.memory, info.storage, info.max_pods, dict(info.extended)),
        clusterevents.NODE_LABELED: dict(info.labels),
        clusterevents.NODE_TAINTED: (
            info.unschedulable,
            [(t.key, t.value, t.effect) for t in (*info.hard_taints, *info.soft_taints)],
        ),
    }
