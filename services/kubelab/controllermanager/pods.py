"""What several controllers ask about a pod's status."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2

READY = "Ready"
DISRUPTION_TARGET = "DisruptionTarget"


def ended(pod: core_pb2.Pod) -> bool:
    """Say whether the pod will never run again."""
    return pod.status.phase in ("Succeeded", "Failed")


def condition(pod: core_pb2.Pod, kind: str) -> core_pb2.PodCondition | None:
    """Find one condition."""
    return next((c for c in pod.status.conditions if c.type == kind), None)


def ready(pod: core_pb2.Pod) -> bool:
    """Say whether the pod may get traffic."""
    found = condition(pod, READY)
    return found is not None and found.status == "True"


def ready_since(pod: core_pb2.Pod) -> float | None:
    """Say since when the pod is ready, in seconds since the epoch; None when it is not, or nobody says since when."""
    found = condition(pod, READY)
    if found is None or found.status != "True" or not found.HasField("lastTransitionTime"):
        return None
    return found.lastTransitionTime.seconds + found.lastTransitionTime.nanos / 1e9


def set_condition(
    pod: core_pb2.Pod, kind: str, status: str, now: float, *, reason: str = "", message: str = ""
) -> bool:
    """Set one condition of a pod that may be changed; False when it says so already. ``now`` is wall time."""
    found = condition(pod, kind)
    if found is None:
        found = pod.status.conditions.add(type=kind)
    elif (found.status, found.reason, found.message) == (status, reason, message):
        return False
    if found.status != status:
        found.status = status
        found.lastTransitionTime.CopyFrom(meta_pb2.Time(seconds=int(now)))
    found.reason, found.message = reason, message
    return True
