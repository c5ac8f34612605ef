"""What a pod says about its neighbours: affinity to other pods, and how it spreads with its like. Read once.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.labels import Requirement, Selector


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Other pods, by namespace and labels, and the topology key in whose domain they count.

    A pod is meant when it is in ``namespaces`` or its namespace's labels match ``namespace_selector``, and its labels
    match. ``selector`` None takes no pod.
    """

    namespaces: frozenset[str]
    namespace_selector: Selector | None
    selector: Selector | None
    topology_key: str

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Say whether a pod of these labels in this namespace is meant."""
        if self.selector is None or not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """How evenly the pods that ``selector`` takes lie over the domains of a topology key.

    ``hard``: DoNotSchedule. ``min_domains`` 0: as many as there are. ``honor_affinity`` and ``honor_taints``: nodes
    that the pod cannot have do not count.
    """

    topology_key: str
    max_skew: int
    hard: bool
    selector: Selector | None
    min_domains: int = 0
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class Neighbours:
    """All of it. Weights of what is preferred are negative where the pod wants to be away."""

    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred: tuple[tuple[PodTerm, int], ...] = ()
    spread: tuple[SpreadConstraint, ...] = ()


NO_NEIGHBOURS = Neighbours()


def neighbours(pod: core_pb2.Pod) -> Neighbours:
    """Read a pod."""
    spec, namespace = pod.spec, pod.metadata.namespace
    spread = tuple(spread_constraint(c, pod.metadata.labels) for c in spec.topologySpreadConstraints)
    if not spec.HasField("affinity"):
        return Neighbours(spread=spread) if spread else NO_NEIGHBOURS
    towards, away = spec.affinity.podAffinity, spec.affinity.podAntiAffinity
    preferred = [
        (_term(weighted.podAffinityTerm, namespace), sign * weighted.weight)
        for sign, terms in ((1, towards), (-1, away))
        for weighted in terms.preferredDuringSchedulingIgnoredDuringExecution
    ]
    return Neighbours(
        affinity=_terms(towards.requiredDuringSchedulingIgnoredDuringExecution, namespace),
        anti_affinity=_terms(away.requiredDuringSchedulingIgnoredDuringExecution, namespace),
        preferred=tuple(preferred),
        spread=spread,
    )


def spread_constraint(constraint: core_pb2.TopologySpreadConstraint, labels: Mapping[str, str]) -> SpreadConstraint:
    """Read a constraint of a pod with these labels: ``matchLabelKeys`` add the pod's own values to the selector."""
    selector = _selector(constraint.labelSelector, is_set=constraint.HasField("labelSelector"))
    if selector is not None and constraint.matchLabelKeys:
        own = [Requirement(key, "in", (labels[key],)) for key in constraint.matchLabelKeys if key in labels]
        selector = Selector((*selector.requirements, *own))
    return SpreadConstraint(
        topology_key=constraint.topologyKey,
        max_skew=constraint.maxSkew,
        hard=constraint.whenUnsatisfiable == "DoNotSchedule",
        selector=selector,
        min_domains=constraint.minDomains,
        honor_affinity=constraint.nodeAffinityPolicy != "Ignore",
        honor_taints=constraint.nodeTaintsPolicy == "Honor",
    )


def _selector(selector: meta_pb2.LabelSelector, *, is_set: bool) -> Selector | None:
    """Read a selector; None where it is not set, which takes nothing."""
    return labelselectors.of_stored(selector) if is_set else None


def _terms(terms: Iterable[core_pb2.PodAffinityTerm], namespace: str) -> tuple[PodTerm, ...]:
    return tuple(_term(term, namespace) for term in terms)


def _term(term: core_pb2.PodAffinityTerm, namespace: str) -> PodTerm:
    """Read a term. Its ``matchLabelKeys`` are in its selector already: the api-server puts them there."""
    namespaces = frozenset(term.namespaces)
    if not namespaces and not term.HasField("namespaceSelector"):
        namespaces = frozenset((namespace,))
    return PodTerm(
        namespaces=namespaces,
        namespace_selector=_selector(term.namespaceSelector, is_set=term.HasField("namespaceSelector")),
        selector=_selector(term.labelSelector, is_set=term.HasField("labelSelector")),
        topology_key=term.topologyKey,
    )
