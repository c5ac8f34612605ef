"""Near other pods, or away from them: what a pod asks for, and what the pods that are placed already ask for.

The pods that a term takes, and the terms of placed pods that take the pod, come from the cluster's indexes with their
sums by topology domain; looking at a node is then a look-up for each term.
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelab.scheduler import clusterevents
from kubelab.scheduler.framework import SKIP, Cluster, CycleState, Rejection, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.plugins.normalize import between
from kubelab.scheduler.podindex import Matcher
from kubelab.scheduler.podterms import PodTerm
from kubelab.scheduler.topology import Tally

Sums = Sequence[tuple[str, Mapping[str, int]]]
"""Topology keys with the sums of their domains."""
HARD_POD_AFFINITY_WEIGHT = 1


@dataclass(frozen=True, slots=True)
class _Required:
    existing: Sums
    affinity: Sums
    anti_affinity: Sums
    first: bool
    """No pod is there that the affinity asks for, but the pod is one itself: it may be the first of its kind."""


class InterPodAffinity:
    """Keep to the domains that the required terms of this pod and of the placed ones allow; prefer by the others.

    ``hard_weight`` is what a placed pod's required affinity to this one is worth; ``ignore_preferred_of_existing``
    leaves the preferences of placed pods out where this pod has none.
    """

    name = "InterPodAffinity"
    weight = 2
    retry_on = frozenset({
        clusterevents.POD_ADDED,
        clusterevents.POD_LABELED,
        clusterevents.POD_GONE,
        clusterevents.NODE_ADDED,
        clusterevents.NODE_LABELED,
        clusterevents.NAMESPACE_LABELED,
    })  # fmt: skip
    affinity = Rejection(name, ("node(s) didn't match pod affinity rules",), retry_on)
    anti_affinity = Rejection(name, ("node(s) didn't match pod anti-affinity rules",), retry_on, resolvable=True)
    existing = Rejection(name, ("node(s) didn't satisfy existing pods anti-affinity rules",), retry_on, resolvable=True)

    def __init__(
        self, hard_weight: int = HARD_POD_AFFINITY_WEIGHT, *, ignore_preferred_of_existing: bool = False
    ) -> None:
        self._hard_weight, self._ignore_existing = hard_weight, ignore_preferred_of_existing

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        neighbours = pod.neighbours
        about = cluster.pods.anti_affinity.about(pod, cluster.namespaces.of(pod.namespace))
        if not about and not neighbours.affinity and not neighbours.anti_affinity:
            return SKIP
        affinity: Sums = ()
        if neighbours.affinity and (matchers := _matchers(neighbours.affinity, cluster)) is not None:
            affinity = _sums([(term.topology_key, cluster.pods.count(*matchers)) for term in neighbours.affinity])
        elif neighbours.affinity:
            affinity = [(term.topology_key, {}) for term in neighbours.affinity]
        state[self.name] = _Required(
            existing=_sums(about),
            affinity=affinity,
            anti_affinity=[
                (term.topology_key, cluster.pods.count(*matchers).domains(term.topology_key))
                for term in neighbours.anti_affinity
                if (matchers := _matchers((term,), cluster)) is not None
            ],
            first=not any(sums for _, sums in affinity) and _takes_itself(pod, cluster),
        )
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        required: _Required = state[self.name]
        labels = node.labels
        there = True
        for key, sums in required.affinity:
            value = labels.get(key)
            if value is None:
                return self.affinity
            there = there and value in sums
        if not there and not required.first:
            return self.affinity
        for key, sums in required.anti_affinity:
            if labels.get(key) in sums:
                return self.anti_affinity
        for key, sums in required.existing:
            if labels.get(key) in sums:
                return self.existing
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        weighted: list[tuple[str, int, Tally]] = []
        for term, weight in pod.neighbours.preferred:
            if (matchers := _matchers((term,), cluster)) is not None:
                weighted.append((term.topology_key, weight, cluster.pods.count(*matchers)))
        if pod.neighbours.preferred or not self._ignore_existing:
            labels = cluster.namespaces.of(pod.namespace)
            weighted += [(key, 1, tally) for key, tally in cluster.pods.preferred.about(pod, labels)]
            if self._hard_weight:
                hard = cluster.pods.required.about(pod, labels)
                weighted += [(key, self._hard_weight, tally) for key, tally in hard]
        scores = [(key, weight, sums) for key, weight, tally in weighted if (sums := tally.domains(key))]
        if not scores:
            return SKIP
        state[self.name + "/score"] = _joined(scores)
        return None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        totals = [0] * len(nodes)
        joined: Mapping[str, Mapping[str, int]] = state[self.name + "/score"]
        for key, sums in joined.items():
            totals = [total + sums.get(node.labels.get(key, ""), 0) for total, node in zip(totals, nodes, strict=True)]
        return between(totals)


def _matchers(terms: Sequence[PodTerm], cluster: Cluster) -> tuple[Matcher, ...] | None:
    """Give what takes the pods that all of the terms mean; None when a term means none."""
    matchers: list[Matcher] = []
    for term in terms:
        if term.selector is None:
            return None
        namespaces: frozenset[str] | None = term.namespaces
        if term.namespace_selector is not None:
            everywhere = not term.namespace_selector
            namespaces = None if everywhere else term.namespaces | cluster.namespaces.matching(term.namespace_selector)
        matchers.append(Matcher(namespaces, term.selector))
    return tuple(dict.fromkeys(matchers))


def _takes_itself(pod: PodInfo, cluster: Cluster) -> bool:
    labels = cluster.namespaces.of(pod.namespace)
    terms = pod.neighbours.affinity
    return bool(terms) and all(term.matches(pod.namespace, pod.labels, labels) for term in terms)


def _sums(tallies: Sequence[tuple[str, Tally]]) -> Sums:
    return [(key, tally.domains(key)) for key, tally in tallies]


def _joined(scores: Sequence[tuple[str, int, Mapping[str, int]]]) -> Mapping[str, Mapping[str, int]]:
    """Add up the weights by topology key and domain."""
    joined: dict[str, dict[str, int]] = {}
    for key, weight, sums in scores:
        domains = joined.setdefault(key, {})
        for value, amount in sums.items():
            domains[value] = domains.get(value, 0) + weight * amount
    return joined
