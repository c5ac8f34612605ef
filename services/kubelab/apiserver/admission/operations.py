"""Which requests the rules of webhooks and policies name (upstream: ``webhook/predicates`` and ``policy/matching``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb

GROUP = "admissionregistration.k8s.io"
EQUIVALENT = "Equivalent"
POLICIES = frozenset({"validatingadmissionpolicies", "validatingadmissionpolicybindings"})
WEBHOOKS = frozenset({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request does, as rules name it."""

    name: str  # CREATE, UPDATE, DELETE
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str

    @property
    def configures_admission(self) -> bool:
        """Whether no webhook is asked: otherwise one could keep its own configuration from being mended."""
        return self.group == GROUP and self.resource in POLICIES | WEBHOOKS

    @property
    def namespaced(self) -> bool:
        return bool(self.namespace) and (self.group, self.resource) != ("", "namespaces")

    def in_version(self, version: str) -> Operation:
        """The same operation on the same object, seen as another version of its kind."""
        return replace(self, version=version)


def matched(
    rules: Iterable[pb.RuleWithOperations], policy: str, operation: Operation, versions: Sequence[str]
) -> Operation | None:
    """Give the operation as the rules name it, None where they do not. With the match policy ``Equivalent`` they may
    name any of the kind's other ``versions``."""
    rules = list(rules)
    if any(names(rule, operation) for rule in rules):
        return operation
    if policy != EQUIVALENT:
        return None
    for rule in rules:
        for version in versions:
            if names(rule, other := operation.in_version(version)):
                return other
    return None


def names(rule: pb.RuleWithOperations, operation: Operation) -> bool:
    """Whether a rule names an operation."""
    return (
        _is_among(operation.name, rule.operations)
        and _is_among(operation.group, rule.rule.apiGroups)
        and _is_among(operation.version, rule.rule.apiVersions)
        and any(_names(pattern, operation) for pattern in rule.rule.resources)
        and (rule.rule.scope in ("", "*") or (rule.rule.scope == "Namespaced") is operation.namespaced)
    )


def _is_among(value: str, patterns: Iterable[str]) -> bool:
    return any(pattern in ("*", value) for pattern in patterns)


def _names(pattern: str, operation: Operation) -> bool:
    """Whether ``pods``, ``pods/status``, ``pods/*``, ``*/scale`` or ``*`` names the resource; ``*`` alone names no
    subresource."""
    resource, _, subresource = pattern.partition("/")
    return resource in ("*", operation.resource) and subresource in ("*", operation.subresource)
