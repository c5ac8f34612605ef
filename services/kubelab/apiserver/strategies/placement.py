"""Where a pod wants to run and when it counts as ready: affinity, spreading, scheduling and readiness gates; in the
words of upstream's ValidateNodeSelector, validateTopologySpreadConstraints, validateSchedulingGates and
validateReadinessGates."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.core.nodeaffinity import NODE_NAME
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, labelselectors, podaffinity

WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
POLICIES = ("Honor", "Ignore")
NOT_POSITIVE = "must be greater than zero"


def validate(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about where the pod wants to run and when it is ready."""
    complaints = podaffinity.validate(spec.affinity, f"{field}.affinity") if spec.HasField("affinity") else []
    if spec.affinity.HasField("nodeAffinity"):
        complaints += _node_affinity(spec.affinity.nodeAffinity, f"{field}.affinity.nodeAffinity")
    for i, gate in enumerate(spec.readinessGates):
        here = f"{field}.readinessGates[{i}].conditionType"
        complaints += causes.each(here, gate.conditionType, names.qualified_name(gate.conditionType))
    for i, constraint in enumerate(spec.topologySpreadConstraints):
        here = f"{field}.topologySpreadConstraints[{i}]"
        complaints += _spread(constraint, spec.topologySpreadConstraints[i + 1 :], here)
    return complaints + _scheduling_gates(spec, f"{field}.schedulingGates")


def _scheduling_gates(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, gate in enumerate(spec.schedulingGates):
        complaints += causes.each(f"{field}[{i}]", gate.name, names.qualified_name(gate.name))
        if gate.name in seen:
            complaints.append(causes.duplicate(f"{field}[{i}]", gate.name))
        seen.add(gate.name)
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
    for i, requirement in enumerate(term.matchFields):
        complaints += _field_requirement(requirement, f"{field}.matchFields[{i}]")
    return complaints


def _field_requirement(requirement: core_pb2.NodeSelectorRequirement, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if requirement.operator not in ("In", "NotIn"):
        message = "not a valid selector operator"
        complaints.append(causes.invalid(f"{field}.operator", requirement.operator, message))
    elif len(requirement.values) != 1:
        message = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        complaints.append(causes.required(f"{field}.values", message))
    if requirement.key != NODE_NAME:
        message = "not a valid field selector key"
        return [*complaints, causes.invalid(f"{field}.key", requirement.key, message)]
    for i, value in enumerate(requirement.values):
        complaints += causes.each(f"{field}.values[{i}]", value, names.dns_subdomain(value))
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


def _spread(
    constraint: core_pb2.TopologySpreadConstraint, rest: Sequence[core_pb2.TopologySpreadConstraint], field: str
) -> list[Cause]:
    complaints: list[Cause] = []
    key, action = constraint.topologyKey, constraint.whenUnsatisfiable
    if constraint.maxSkew <= 0:
        complaints.append(causes.invalid(f"{field}.maxSkew", constraint.maxSkew, NOT_POSITIVE))
    if not key:
        complaints.append(causes.required(f"{field}.topologyKey", "can not be empty"))
    if action not in WHEN_UNSATISFIABLE:
        complaints.append(causes.unsupported(f"{field}.whenUnsatisfiable", action, WHEN_UNSATISFIABLE))
    if any(other.topologyKey == key and other.whenUnsatisfiable == action for other in rest):
        complaints.append(causes.duplicate(f"{field}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
    if constraint.HasField("minDomains"):
        complaints += _min_domains(constraint, f"{field}.minDomains")
    if constraint.HasField("nodeAffinityPolicy") and constraint.nodeAffinityPolicy not in POLICIES:
        complaints.append(causes.unsupported(f"{field}.nodeAffinityPolicy", constraint.nodeAffinityPolicy, POLICIES))
    if constraint.HasField("nodeTaintsPolicy") and constraint.nodeTaintsPolicy not in POLICIES:
        complaints.append(causes.unsupported(f"{field}.nodeTaintsPolicy", constraint.nodeTaintsPolicy, POLICIES))
    complaints += _match_label_keys(constraint, f"{field}.matchLabelKeys")
    return complaints + labelselectors.validate(constraint.labelSelector, f"{field}.labelSelector")


def _min_domains(constraint: core_pb2.TopologySpreadConstraint, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if constraint.minDomains <= 0:
        complaints.append(causes.invalid(field, constraint.minDomains, NOT_POSITIVE))
    if constraint.whenUnsatisfiable != "DoNotSchedule":
        message = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.whenUnsatisfiable}"
        complaints.append(causes.invalid(field, constraint.minDomains, message))
    return complaints


def _match_label_keys(constraint: core_pb2.TopologySpreadConstraint, field: str) -> list[Cause]:
    selector = constraint.labelSelector
    selected = {*selector.matchLabels, *(expression.key for expression in selector.matchExpressions)}
    complaints: list[Cause] = []
    for i, key in enumerate(constraint.matchLabelKeys):
        complaints += causes.each(f"{field}[{i}]", key, names.qualified_name(key))
        if key in selected:
            message = "exists in both matchLabelKeys and labelSelector"
            complaints.append(causes.invalid(f"{field}[{i}]", key, message))
    return complaints
