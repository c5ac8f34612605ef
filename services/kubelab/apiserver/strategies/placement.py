"""Where a pod wants to run and when it counts as ready: affinity to nodes, spreading, readiness gates; in the words of
upstream's ValidateNodeSelector, validateTopologySpreadConstraints and validateReadinessGates."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")


def validate(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about the three."""
    complaints: list[Cause] = []
    if spec.affinity.HasField("nodeAffinity"):
        complaints += _node_affinity(spec.affinity.nodeAffinity, f"{field}.affinity.nodeAffinity")
    for i, gate in enumerate(spec.readinessGates):
        here = f"{field}.readinessGates[{i}].conditionType"
        complaints += causes.each(here, gate.conditionType, names.qualified_name(gate.conditionType))
    for i, constraint in enumerate(spec.topologySpreadConstraints):
        complaints += _spread(constraint, f"{field}.topologySpreadConstraints[{i}]")
    return complaints


def _node_affinity(affinity: core_pb2.NodeAffinity, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if affinity.HasField("requiredDuringSchedulingIgnoredDuringExecution"):
        here = f"{field}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        terms = affinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
        if not terms:
            complaints.append(causes.required(here, "must have at least one node selector term"))
        for i, term in enumerate(terms):
            complaints += _term(term, f"{here}[{i}]")
    for i, preferred in enumerate(affinity.preferredDuringSchedulingIgnoredDuringExecution):
        here = f"{field}.preferredDuringSchedulingIgnoredDuringExecution[{i}]"
        if not 1 <= preferred.weight <= 100:
            complaints.append(causes.invalid(f"{here}.weight", preferred.weight, "must be in the range 1-100"))
        complaints += _term(preferred.preference, f"{here}.preference")
    return complaints


def _term(term: core_pb2.NodeSelectorTerm, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for i, requirement in enumerate(term.matchExpressions):
        complaints += _requirement(requirement, f"{field}.matchExpressions[{i}]")
    return complaints


def _requirement(requirement: core_pb2.NodeSelectorRequirement, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    values = f"{field}.values"
    match requirement.operator:
        case "In" | "NotIn":
            if not requirement.values:
                complaints.append(causes.required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if requirement.values:
                message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                complaints.append(causes.forbidden(values, message))
        case "Gt" | "Lt":
            if len(requirement.values) != 1:
                message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                complaints.append(causes.required(values, message))
        case operator:
            complaints.append(causes.invalid(f"{field}.operator", operator, "not a valid selector operator"))
    return complaints + causes.each(f"{field}.key", requirement.key, names.qualified_name(requirement.key))


def _spread(constraint: core_pb2.TopologySpreadConstraint, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if constraint.maxSkew <= 0:
        complaints.append(causes.invalid(f"{field}.maxSkew", constraint.maxSkew, "must be greater than zero"))
    if not constraint.topologyKey:
        complaints.append(causes.required(f"{field}.topologyKey", "can not be empty"))
    if constraint.whenUnsatisfiable not in WHEN_UNSATISFIABLE:
        value = constraint.whenUnsatisfiable
        complaints.append(causes.unsupported(f"{field}.whenUnsatisfiable", value, WHEN_UNSATISFIABLE))
    return complaints
