"""Which requests policies and bindings are about."""

from __future__ import annotations

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.admissionregistration import rules
from kubelab.apiserver.strategies import causes, labelselectors


def default(match: pb.MatchResources) -> None:
    """Fill in what upstream fills in."""
    if not match.HasField("matchPolicy"):
        match.matchPolicy = "Equivalent"
    match.namespaceSelector.SetInParent()
    match.objectSelector.SetInParent()
    for named in (*match.resourceRules, *match.excludeResourceRules):
        rules.default([named.ruleWithOperations])


def validate(match: pb.MatchResources, here: str) -> list[Cause]:
    """All complaints."""
    complaints = causes.one_of(f"{here}.matchPolicy", match.matchPolicy, ("Equivalent", "Exact"))
    complaints += labelselectors.validate(match.namespaceSelector, f"{here}.namespaceSelector")
    complaints += labelselectors.validate(match.objectSelector, f"{here}.objectSelector")
    for field, named in (
        ("resourceRules", match.resourceRules),
        ("excludeResourceRules", match.excludeResourceRules),
    ):
        for number, rule in enumerate(named):
            complaints += _named(rule, f"{here}.{field}[{number}]")
    return complaints


def _named(rule: pb.NamedRuleWithOperations, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for number, name in enumerate(rule.resourceNames):
        field = f"{here}.resourceNames[{number}]"
        complaints += causes.each(field, name, names.path_segment(name))
        if name in seen:
            complaints.append(causes.duplicate(field, name))
        seen.add(name)
    return complaints + rules.validate(rule.ruleWithOperations, here)
