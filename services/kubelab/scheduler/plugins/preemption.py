"""Room for a pod that no node would take: which pods of lower priority would have to go.

The victims of a node are as few as can be: all pods of lower priority are lifted, then those come back that leave room
enough, first those whose disruption budgets would be violated, the more important ones before others.
https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubelab.apimachinery import labelselectors
from kubelab.scheduler.framework import CycleState, Hypothetical, Nomination, Unschedulable, histogram
from kubelab.scheduler.model import NodeInfo, PodInfo

MIN_CANDIDATES, CANDIDATES_PERCENT = 100, 10
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, the pods that would go, the most important first, and how many of them against their budgets."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int

    @property
    def rank(self) -> tuple[float, ...]:
        """The lower, the better: budgets, the highest priority, all priorities, how many, how young they are."""
        highest = self.victims[0].priority
        oldest = min(victim.started for victim in self.victims if victim.priority == highest)
        total = sum(victim.priority + 2**31 for victim in self.victims)
        return (self.violations, highest, total, len(self.victims), -oldest)


class DefaultPreemption:
    """Nominate the node whose victims matter least."""

    name = "DefaultPreemption"

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Unschedulable) -> str | Nomination:
        if pod.never_preempts:
            return "preemption: not eligible due to preemptionPolicy=Never."
        nominated = failure.cache.nominated_node(pod.uid)
        if nominated is not None and any(p.terminating and p.priority < pod.priority for p in nominated.pods.values()):
            return "preemption: not eligible due to a terminating pod on the nominated node."
        helpful = [
            node for name, no in failure.rejected.items() if no.resolvable and (node := failure.cache.node(name))
        ]
        candidates = [*_candidates(pod, helpful, failure)]
        if candidates:
            best = min(candidates, key=lambda candidate: candidate.rank)
            return Nomination(best.node, best.victims)
        nodes = len(failure.rejected)
        counts = {NO_VICTIMS: len(helpful), NOT_HELPFUL: nodes - len(helpful)}
        return Nomination(message=f"preemption: 0/{nodes} nodes are available: {histogram(counts)}.")


def _candidates(pod: PodInfo, nodes: Sequence[NodeInfo], failure: Unschedulable) -> Iterable[Candidate]:
    """Look at nodes, from one that the pod's uid picks, until there are candidates enough."""
    enough = max(len(nodes) * CANDIDATES_PERCENT // 100, MIN_CANDIDATES)
    start = zlib.crc32(pod.uid.encode()) % len(nodes) if nodes else 0
    for node in (*nodes[start:], *nodes[:start]):
        candidate = select_victims(pod, node, failure)
        if candidate is not None:
            yield candidate
            enough -= 1
            if not enough:
                return


def select_victims(pod: PodInfo, node: NodeInfo, failure: Unschedulable) -> Candidate | None:
    """Find the fewest pods of a node that would have to go; None where that would not help, or none may go."""
    potential = sorted((p for p in node.pods.values() if p.priority < pod.priority), key=_importance)
    if not potential:
        return None
    cache, lifted = failure.cache, list[PodInfo]()
    try:
        for victim in potential:
            cache.lift(victim, node.name)
            lifted.append(victim)
        if not failure.fits(node):
            return None
        violating = _violating(potential, cache)
        violations = 0
        for victim in sorted(potential, key=lambda p: p.uid not in violating):
            cache.lower(victim, node.name)
            lifted.remove(victim)
            if not failure.fits(node):
                cache.lift(victim, node.name)
                lifted.append(victim)
                violations += victim.uid in violating
        return Candidate(node.name, tuple(sorted(lifted, key=_importance)), violations) if lifted else None
    finally:
        for victim in lifted:
            cache.lower(victim, node.name)


def _importance(pod: PodInfo) -> tuple[float, float]:
    """The lower, the more important: by priority, then the longer it has been running."""
    return (-pod.priority, pod.started)


def _violating(pods: Sequence[PodInfo], cache: Hypothetical) -> set[str]:
    """Find the pods, in their order, whose budgets would not allow them to go as well; by uid."""
    allowed = {key: budget.status.disruptionsAllowed for key, budget in cache.budgets.items()}
    found: set[str] = set()
    for pod in pods:
        for key, budget in cache.budgets.items():
            if budget.metadata.namespace != pod.namespace or pod.name in budget.status.disruptedPods:
                continue
            selector = labelselectors.of_stored(budget.spec.selector)
            if selector and selector.matches(pod.labels):
                allowed[key] -= 1
                if allowed[key] < 0:
                    found.add(pod.uid)
    return found
