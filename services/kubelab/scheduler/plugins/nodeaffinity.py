"""The nodes that a pod asks for by labels and names: ``nodeSelector`` and node affinity."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.apimachinery.core.nodeaffinity import NodeTerm, RequiredNodeAffinity
from kubelab.scheduler import clusterevents
from kubelab.scheduler.framework import SKIP, Cluster, CycleState, OnlyNodes, Rejection, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.plugins.normalize import to_most


class NodeAffinity:
    """Keep to what ``nodeSelector`` and required terms ask for; prefer the nodes of preferred terms.

    ``added`` and ``added_preferred`` are the profile's own affinity, which every one of its pods has besides.
    """

    name = "NodeAffinity"
    weight = 2
    retry_on = frozenset({clusterevents.NODE_ADDED, clusterevents.NODE_LABELED})
    rejection = Rejection(name, ("node(s) didn't match Pod's node affinity/selector",), retry_on)
    enforced = Rejection(name, ("node(s) didn't match scheduler-enforced node affinity",), retry_on)
    conflict = Rejection(name, ("pod affinity terms conflict",), retry_on)

    def __init__(
        self,
        added: RequiredNodeAffinity | None = None,
        added_preferred: tuple[tuple[int, NodeTerm], ...] = (),
    ) -> None:
        self._added, self._added_preferred = added or RequiredNodeAffinity(), added_preferred

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | OnlyNodes | Rejection | None:
        if not pod.node_affinity:
            return None if self._added else SKIP
        names = pod.node_affinity.names()
        if names is None:
            return None
        return OnlyNodes(names, self.retry_on) if names else self.conflict

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if self._added and not self._added.matches(node.labels, node.name):
            return self.enforced
        return None if pod.node_affinity.matches(node.labels, node.name) else self.rejection

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None if pod.preferred_nodes or self._added_preferred else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        terms = (*pod.preferred_nodes, *self._added_preferred)
        return to_most([sum(w for w, term in terms if term.matches(n.labels, n.name)) for n in nodes])
