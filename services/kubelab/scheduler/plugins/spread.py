"""Pods of one controller or service go to different nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kubelab.scheduler.framework import MAX_SCORE, SKIP, Cluster, CycleState, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo

MAX_SKEW = 3  # upstream's system default for kubernetes.io/hostname, ScheduleAnyway


class PodTopologySpread:
    """Prefer nodes with fewer pods of the same controller and services: upstream's default constraint over host names.

    https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints
    """

    name = "PodTopologySpread"
    weight = 2

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if cluster.spread_counts(pod) is None else None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        counts = cluster.spread_counts(pod) or {}
        pods_on = [counts.get(node.name, 0) for node in nodes]
        factor = math.log(len(nodes) + 2)
        raw = {count: round(count * factor + (MAX_SKEW - 1)) for count in set(pods_on)}  # few different ones
        least, most = min(raw.values()), max(raw.values())
        scores = {count: MAX_SCORE * (most + least - score) // most for count, score in raw.items()}
        return [scores[count] for count in pods_on]
