"""What a disruption budget allows: pure functions of the budget, its pods and the sizes of their workloads.

https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-budgets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.core.conditions import FALSE, TRUE, set_condition
from kubelab.apimachinery.core.pods import is_ready
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.policy.budgets import DISRUPTION_ALLOWED, INSUFFICIENT_PODS, SUFFICIENT_PODS, SYNC_FAILED
from kubelab.apimachinery.timestamps import from_time

DELETION_SECONDS = 120.0
"""How long an eviction that was allowed may take until the pod is being deleted."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods there shall be, and how many of them healthy."""

    pods: int
    healthy: int


def needs_scale(budget: policy_pb2.PodDisruptionBudget) -> bool:
    """Say whether the budget is counted from the sizes of workloads: all but an absolute ``minAvailable`` are."""
    spec = budget.spec
    return spec.HasField("maxUnavailable") or (
        spec.HasField("minAvailable") and spec.minAvailable.type == intstr.STRING
    )


def expected(budget: policy_pb2.PodDisruptionBudget, pods: int, scale: int) -> Expected:
    """Count what shall be. ``pods`` are there now, ``scale`` is the sum of their workloads' replicas.

    Raises ValueError for a text that is no percentage.
    """
    spec = budget.spec
    if spec.HasField("maxUnavailable"):
        return Expected(scale, max(scale - intstr.scaled(spec.maxUnavailable, scale, round_up=True), 0))
    if not spec.HasField("minAvailable"):
        return Expected(0, 0)
    if spec.minAvailable.type == intstr.STRING:
        return Expected(scale, intstr.scaled(spec.minAvailable, scale, round_up=True))
    return Expected(pods, spec.minAvailable.intVal)


@dataclass(frozen=True, slots=True)
class Disrupted:
    """The evictions that are not over, by pod, the seconds until one is late, and the pods of those that are."""

    pods: Mapping[str, float]
    wait: float | None
    not_deleted: Sequence[core_pb2.Pod]


def disrupted(budget: policy_pb2.PodDisruptionBudget, pods: Sequence[core_pb2.Pod], now: float) -> Disrupted:
    """Look after the evictions that the api-server allowed. ``now`` is wall time in seconds."""
    open_evictions: dict[str, float] = {}
    late: list[core_pb2.Pod] = []
    for pod in pods:
        name = pod.metadata.name
        if pod.metadata.HasField("deletionTimestamp") or name not in budget.status.disruptedPods:
            continue
        began = from_time(budget.status.disruptedPods[name])
        if began + DELETION_SECONDS < now:
            late.append(pod)
        else:
            open_evictions[name] = began
    wait = min(open_evictions.values()) + DELETION_SECONDS - now if open_evictions else None
    return Disrupted(open_evictions, wait, late)


def healthy(pods: Sequence[core_pb2.Pod], evicted: Mapping[str, float]) -> int:
    """Count the pods that are ready and stay."""
    return sum(
        is_ready(pod) and not pod.metadata.HasField("deletionTimestamp") and pod.metadata.name not in evicted
        for pod in pods
    )


def new_status(
    budget: policy_pb2.PodDisruptionBudget, want: Expected, current: int, evicted: Mapping[str, float], now: float
) -> policy_pb2.PodDisruptionBudget:
    """Give a copy of the budget with its status as it is now."""
    changed = deep_copy(budget)
    status = changed.status
    allowed = current - want.healthy
    status.disruptionsAllowed = allowed if want.pods > 0 and allowed > 0 else 0
    status.currentHealthy, status.desiredHealthy, status.expectedPods = current, want.healthy, want.pods
    status.observedGeneration = budget.metadata.generation
    kept = {name: status.disruptedPods[name] for name in evicted}
    kept = {name: (time.seconds, time.nanos) for name, time in kept.items()}
    status.disruptedPods.clear()
    for name, (seconds, nanos) in kept.items():
        status.disruptedPods[name].seconds, status.disruptedPods[name].nanos = seconds, nanos
    enough = status.disruptionsAllowed > 0
    reason = SUFFICIENT_PODS if enough else INSUFFICIENT_PODS
    _set(changed, TRUE if enough else FALSE, reason, "", now)
    return changed


def failed_status(budget: policy_pb2.PodDisruptionBudget, message: str, now: float) -> policy_pb2.PodDisruptionBudget:
    """Give a copy of a budget that cannot be counted: it allows nothing."""
    changed = deep_copy(budget)
    changed.status.disruptionsAllowed = 0
    changed.status.observedGeneration = budget.metadata.generation
    _set(changed, FALSE, SYNC_FAILED, message, now)
    return changed


def _set(budget: policy_pb2.PodDisruptionBudget, status: str, reason: str, message: str, now: float) -> None:
    set_condition(budget.status.conditions, DISRUPTION_ALLOWED, status, now, reason=reason, message=message)
    for condition in budget.status.conditions:
        if condition.type == DISRUPTION_ALLOWED:
            condition.observedGeneration = budget.status.observedGeneration
