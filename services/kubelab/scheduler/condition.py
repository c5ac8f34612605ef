"""The PodScheduled condition of a pod that has no node yet."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2

POD_SCHEDULED = "PodScheduled"


def with_unschedulable(pod: core_pb2.Pod, reason: str, message: str, now: float) -> core_pb2.Pod | None:
    """Copy a pod with PodScheduled=False; None when its status says the same already. ``now`` is seconds."""
    changed = core_pb2.Pod()
    changed.CopyFrom(pod)
    condition = next((c for c in changed.status.conditions if c.type == POD_SCHEDULED), None)
    if condition is None:
        condition = changed.status.conditions.add(type=POD_SCHEDULED)
    elif (condition.status, condition.reason, condition.message) == ("False", reason, message):
        return None
    if condition.status != "False":
        condition.status = "False"
        condition.lastTransitionTime.CopyFrom(meta_pb2.Time(seconds=int(now)))
    condition.reason, condition.message = reason, message
    return changed
