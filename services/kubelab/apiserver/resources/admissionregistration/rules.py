"""The rules of webhooks and policies: which operations on which resources they are about."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")


def default(rules: Iterable[pb.RuleWithOperations]) -> None:
    """Fill in what upstream fills in."""
    for rule in rules:
        if not rule.rule.HasField("scope"):
            rule.rule.scope = "*"


def validate(rule: pb.RuleWithOperations, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not rule.operations:
        complaints.append(causes.required(f"{here}.operations"))
    elif len(rule.operations) > 1 and "*" in rule.operations:
        why = "if '*' is present, must not specify other operations"
        complaints.append(causes.invalid(f"{here}.operations", list(rule.operations), why))
    for number, operation in enumerate(rule.operations):
        if operation not in OPERATIONS:
            complaints.append(causes.unsupported(f"{here}.operations[{number}]", operation, OPERATIONS))
    for field, values, what in (
        ("apiGroups", rule.rule.apiGroups, "API groups"),
        ("apiVersions", rule.rule.apiVersions, "API versions"),
    ):
        if not values:
            complaints.append(causes.required(f"{here}.{field}"))
        elif len(values) > 1 and "*" in values:
            why = f"if '*' is present, must not specify other {what}"
            complaints.append(causes.invalid(f"{here}.{field}", list(values), why))
    complaints += [
        causes.required(f"{here}.apiVersions[{number}]") for number, v in enumerate(rule.rule.apiVersions) if not v
    ]
    if not rule.rule.resources:
        complaints.append(causes.required(f"{here}.resources"))
    complaints += [
        causes.required(f"{here}.resources[{number}]") for number, r in enumerate(rule.rule.resources) if not r
    ]
    return complaints + causes.one_of(f"{here}.scope", rule.rule.scope, ("*", "Cluster", "Namespaced"))
