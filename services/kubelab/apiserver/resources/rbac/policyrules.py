"""What the rules of roles and cluster roles must be (upstream: pkg/apis/rbac/validation)."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes


def validate(rules: Iterable[rbac_pb2.PolicyRule], *, namespaced: bool) -> list[Cause]:
    """All complaints about the rules of a role, ``namespaced``, or of a cluster role."""
    return [one for i, rule in enumerate(rules) for one in _rule(rule, f"rules[{i}]", namespaced=namespaced)]


def _rule(rule: rbac_pb2.PolicyRule, field: str, *, namespaced: bool) -> list[Cause]:
    complaints: list[Cause] = []
    if not rule.verbs:
        complaints.append(causes.required(f"{field}.verbs", "verbs must contain at least one value"))
    if urls := list(rule.nonResourceURLs):
        if namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            complaints.append(causes.invalid(f"{field}.nonResourceURLs", urls, why))
        if rule.apiGroups or rule.resources or rule.resourceNames:
            why = "rules cannot apply to both regular resources and non-resource URLs"
            complaints.append(causes.invalid(f"{field}.nonResourceURLs", urls, why))
        return complaints
    if not rule.apiGroups:
        complaints.append(causes.required(f"{field}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.resources:
        complaints.append(causes.required(f"{field}.resources", "resource rules must supply at least one resource"))
    return complaints
