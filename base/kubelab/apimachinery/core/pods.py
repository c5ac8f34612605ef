"""Functions of a pod's status (upstream's ``pkg/api/v1/pod/util.go``).

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import timestamps
from kubelab.apimachinery.core.conditions import TRUE, get_condition, is_true
from kubelab.apimachinery.meta import is_terminating

PENDING, RUNNING, SUCCEEDED, FAILED, UNKNOWN = "Pending", "Running", "Succeeded", "Failed", "Unknown"
TERMINAL_PHASES = (SUCCEEDED, FAILED)
POD_SCHEDULED = "PodScheduled"
READY = "Ready"
DISRUPTION_TARGET = "DisruptionTarget"

ACTIVE_PODS = ",".join(f"status.phase!={phase}" for phase in TERMINAL_PHASES)
"""The field selector of the pods that are not in a terminal phase."""


def is_terminal(pod: core_pb2.Pod) -> bool:
    """Say whether the pod has ended: a terminal phase never changes."""
    return pod.status.phase in TERMINAL_PHASES


def is_active(pod: core_pb2.Pod) -> bool:
    """Say whether the pod counts for the controller that owns it: it has not ended and is not being deleted."""
    return not is_terminal(pod) and not is_terminating(pod)


def was_rejected(pod: core_pb2.Pod) -> bool:
    """Say whether the pod's node did not take it: it failed before anything of it was made."""
    made = pod.status.containerStatuses or pod.status.initContainerStatuses
    return pod.status.phase == FAILED and bool(pod.spec.nodeName) and not made


def is_ready(pod: core_pb2.Pod) -> bool:
    """Say whether the pod may get traffic."""
    return is_true(pod.status.conditions, READY)


def ready_since(pod: core_pb2.Pod) -> float | None:
    """Give the time since which the pod is ready, in seconds since the epoch; None when it is not, or when its
    condition has no time."""
    condition = get_condition(pod.status.conditions, READY)
    if condition is None or condition.status != TRUE or not condition.HasField("lastTransitionTime"):
        return None
    return timestamps.from_time(condition.lastTransitionTime)


def available_in(pod: core_pb2.Pod, min_ready_seconds: int, now: float) -> float | None:
    """Say in how many seconds a pod counts as available (ready for ``min_ready_seconds``): 0 now, None while it is not
    ready. ``now`` is wall time in seconds."""
    if not is_ready(pod):
        return None
    since = ready_since(pod)
    if not min_ready_seconds or since is None:
        return 0 if not min_ready_seconds else float(min_ready_seconds)
    return max(since + min_ready_seconds - now, 0)
