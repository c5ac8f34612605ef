"""What preemption could do for a pod that no node would take."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.scheduler.framework import CycleState, Rejection, histogram
from kubelab.scheduler.model import PodInfo


class DefaultPreemption:
    """Say in upstream's words that no pod is evicted for another: kubelab knows no priority classes."""

    name = "DefaultPreemption"

    def post_filter(self, state: CycleState, pod: PodInfo, rejected: Sequence[Rejection], nodes: int) -> str:
        unresolvable = sum(not rejection.resolvable for rejection in rejected)
        counts = {
            "No preemption victims found for incoming pod": len(rejected) - unresolvable,
            "Preemption is not helpful for scheduling": unresolvable,
        }
        return f"preemption: 0/{nodes} nodes are available: {histogram(counts)}."
