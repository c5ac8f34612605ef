"""Nodes that have the pod's images already start it sooner.

https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.scheduler.framework import MAX_SCORE, SKIP, Cluster, CycleState, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo

# Bytes: less than the first is not worth a preference, more than the second for each container makes no difference.
MIN_THRESHOLD = 23 * 1024 * 1024
MAX_CONTAINER_THRESHOLD = 1000 * 1024 * 1024


class ImageLocality:
    """Prefer nodes by the bytes of the pod's images that they have, those most that many nodes have."""

    name = "ImageLocality"
    weight = 1

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        present = [(image, count) for image in pod.images if (count := cluster.image_nodes.get(image, 0))]
        if not present:
            return SKIP
        state[self.name] = present
        return None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        everywhere = len(cluster.nodes)
        shares = [(image, count / everywhere) for image, count in state[self.name]]
        most = MAX_CONTAINER_THRESHOLD * len(pod.images)
        scores: list[int] = []
        for node in nodes:
            size = sum(int(node.images[image] * share) for image, share in shares if image in node.images)
            size = min(max(size, MIN_THRESHOLD), most)
            scores.append(MAX_SCORE * (size - MIN_THRESHOLD) // (most - MIN_THRESHOLD))
        return scores
