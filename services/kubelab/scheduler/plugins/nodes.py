"""Filters that look at the node object: cordons, names, taints."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import taints
from kubelab.scheduler import clusterevents
from kubelab.scheduler.framework import MAX_SCORE, SKIP, Cluster, CycleState, Rejection, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo


class NodeUnschedulable:
    """Keep away from cordoned nodes, unless the pod tolerates the taint that stands for it."""

    name = "NodeUnschedulable"
    rejection = Rejection(
        name, ("node(s) were unschedulable",), frozenset({clusterevents.NODE_ADDED, clusterevents.NODE_TAINTED})
    )
    _taint = core_pb2.Taint(key=taints.UNSCHEDULABLE, effect=taints.NO_SCHEDULE)

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not cluster.cordoned or taints.tolerated(pod.tolerations, self._taint) else None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return self.rejection if node.unschedulable else None


class NodeName:
    """Honour a node name that the pod already carries."""

    name = "NodeName"
    rejection = Rejection(
        name, ("node(s) didn't match the requested node name",), frozenset({clusterevents.NODE_ADDED})
    )

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not pod.node else None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return self.rejection if pod.node != node.name else None


class TaintToleration:
    """Keep away from taints that the pod does not tolerate; prefer nodes with fewer soft ones."""

    name = "TaintToleration"
    weight = 3
    retry_on = frozenset({clusterevents.NODE_ADDED, clusterevents.NODE_TAINTED})

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not cluster.tainted else None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for taint in node.hard_taints:
            if not taints.tolerated(pod.tolerations, taint):
                reason = f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
                return Rejection(self.name, (reason,), self.retry_on)
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not cluster.softly_tainted else None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        counts = [sum(not taints.tolerated(pod.tolerations, t) for t in node.soft_taints) for node in nodes]
        most = max(counts)
        return [MAX_SCORE - MAX_SCORE * n // most for n in counts] if most else [MAX_SCORE] * len(counts)
