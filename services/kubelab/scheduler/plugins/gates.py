"""Pods whose maker says that they are not ready to be scheduled.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/
"""

from __future__ import annotations

from kubelab.scheduler.model import PodInfo


class SchedulingGates:
    """Keep a pod out of the queue until its last scheduling gate is gone."""

    name = "SchedulingGates"

    def pre_enqueue(self, pod: PodInfo) -> bool:
        return not pod.gated
