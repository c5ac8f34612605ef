"""Pods of one controller or service go to different nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kubelab.scheduler.framework import MAX_SCORE, Cluster
from kubelab.scheduler.model import NodeInfo, PodInfo

MAX_SKEW = 3  # upstream's system default for kubernetes.io/hostname, ScheduleAnyway


class PodTopologySpread:
    """Prefer nodes with fewer siblings: upstream's default constraint over host names.

    https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints
    """

    name = "PodTopologySpread"
    weight = 2

    def skip_score(self, pod: PodInfo, cluster: Cluster) -> bool:
        return cluster.siblings(pod) is None

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        counts = cluster.siblings(pod) or {}
        factor = math.log(len(nodes) + 2)
        raw = [round(counts.get(node.name, 0) * factor + (MAX_SKEW - 1)) for node in nodes]
        least, most = min(raw), max(raw)
        return [MAX_SCORE * (most + least - score) // most for score in raw]
