"""Which of several pods are deleted first, after upstream's ``ActivePodsWithRanks``.

https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_ready, ready_since

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def rank_for_deletion(
    pods: Iterable[core_pb2.Pod], related: Iterable[core_pb2.Pod], now: float
) -> Sequence[core_pb2.Pod]:
    """Sort active pods, the first to delete first: without a node, Pending, not ready, cheap, many on one node, ready
    for a short time, often restarted, young.

    ``related`` are the pods that share the nodes' burden: of all ReplicaSets of a Deployment, for one. ``now`` is wall
    time in seconds.
    """
    on_node = Counter(pod.spec.nodeName for pod in related)
    by_age = sorted(pods, key=cmp_to_key(lambda first, second: _compare_ages(first, second, now)))
    return sorted(by_age, key=lambda pod: _rank(pod, on_node[pod.spec.nodeName]))


def _rank(pod: core_pb2.Pod, on_node: int) -> tuple[bool, int, bool, int, int]:
    """What comes before age; ``on_node`` counts the related pods on the same node."""
    try:
        cost = int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        cost = 0  # upstream ignores what is no number, too
    return (bool(pod.spec.nodeName), _PHASES.get(pod.status.phase, 0), is_ready(pod), cost, -on_node)


def _compare_ages(first: core_pb2.Pod, second: core_pb2.Pod, now: float) -> int:
    """Compare by how long pods have been ready, by restarts, and by age: negative when the first one goes first."""
    if order := _younger(ready_since(first), ready_since(second), first, second, now):
        return order
    if restarts := _restarts(second) - _restarts(first):
        return restarts
    return _younger(_created(first), _created(second), first, second, now)


def _younger(one: float | None, other: float | None, first: core_pb2.Pod, second: core_pb2.Pod, now: float) -> int:
    """Compare two times by the power of two that their ages reach, so that of pods of about the same age any may go
    (upstream's LogarithmicScaleDown); which one is drawn by uid. An unknown time is younger than all."""
    if one == other:
        return 0
    if one is None or other is None:
        return -1 if one is None else 1
    return _doublings(now - one) - _doublings(now - other) or (-1 if first.metadata.uid < second.metadata.uid else 1)


def _doublings(seconds: float) -> int:
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _restarts(pod: core_pb2.Pod) -> int:
    return max((status.restartCount for status in pod.status.containerStatuses), default=0)


def _created(pod: core_pb2.Pod) -> float | None:
    return pod.metadata.creationTimestamp.seconds if pod.metadata.HasField("creationTimestamp") else None
