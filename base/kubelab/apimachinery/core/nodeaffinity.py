"""Which nodes a pod may run on by its ``nodeSelector`` and its required node affinity, and how much it likes them.

A pod's terms are read once and asked many times. After upstream's ``component-helpers/scheduling/corev1/nodeaffinity``
(https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.labels import Requirement, Selector

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": ">", "Lt": "<"}
NODE_NAME = "metadata.name"


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """Labels that a node has, and names that it has or has not. A term without either takes no node."""

    labels: Selector
    fields: tuple[Requirement, ...] = ()

    @staticmethod
    def of(term: core_pb2.NodeSelectorTerm) -> NodeTerm:
        return NodeTerm(Selector(_requirements(term.matchExpressions)), _requirements(term.matchFields))

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        """Say whether a node is taken."""
        if not self.labels and not self.fields:
            return False
        if self.fields and not all(field.matches({NODE_NAME: name}) for field in self.fields):
            return False
        return self.labels.matches(labels)

    def names(self) -> frozenset[str] | None:
        """Give the only nodes that can be taken, by name; None where the names are not limited."""
        limits = [frozenset(f.values) for f in self.fields if f.key == NODE_NAME and f.operator == "in"]
        return frozenset.intersection(*limits) if limits else None


@dataclass(frozen=True, slots=True)
class RequiredNodeAffinity:
    """What a node must have. ``terms`` None: no affinity is required; otherwise one of the terms takes the node."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeTerm, ...] | None = None

    @staticmethod
    def of(spec: core_pb2.PodSpec) -> RequiredNodeAffinity:
        selector, terms = tuple(spec.nodeSelector.items()), None
        affinity = spec.affinity.nodeAffinity
        if spec.HasField("affinity") and affinity.HasField("requiredDuringSchedulingIgnoredDuringExecution"):
            terms = node_terms(affinity.requiredDuringSchedulingIgnoredDuringExecution)
        return RequiredNodeAffinity(selector, terms)

    def __bool__(self) -> bool:
        return bool(self.selector) or self.terms is not None

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        """Say whether a node will do."""
        for key, value in self.selector:
            if labels.get(key) != value:
                return False
        return self.terms is None or any(term.matches(labels, name) for term in self.terms)

    def names(self) -> frozenset[str] | None:
        """Give the only nodes that can do, by name; None unless every term limits them."""
        if not self.terms:
            return None
        found: frozenset[str] = frozenset()
        for term in self.terms:
            names = term.names()
            if names is None:
                return None
            found |= names
        return found


def node_terms(selector: core_pb2.NodeSelector) -> tuple[NodeTerm, ...]:
    """Read the terms of a node selector, of which one is enough."""
    return tuple(NodeTerm.of(term) for term in selector.nodeSelectorTerms)


def preferred_terms(spec: core_pb2.PodSpec) -> tuple[tuple[int, NodeTerm], ...]:
    """Give the weights and terms of what a pod prefers."""
    if not spec.HasField("affinity"):
        return ()
    return tuple(
        (preferred.weight, NodeTerm.of(preferred.preference))
        for preferred in spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
    )


def _requirements(requirements: Iterable[core_pb2.NodeSelectorRequirement]) -> tuple[Requirement, ...]:
    return tuple(_requirement(r.key, _OPERATORS.get(r.operator, ""), tuple(r.values)) for r in requirements)


def _requirement(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    if not operator or (operator in "<>" and len(values) != 1):
        return Requirement(key, "in")  # the api-server lets none in: it takes no node
    return Requirement(key, operator, values)
