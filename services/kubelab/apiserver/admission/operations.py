"""Which requests the rules of webhooks and policies name (upstream: ``webhook/predicates`` and ``policy/matching``)."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a webhook or a policy, read once: each write asks all of them."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    """Resource and subresource, either of them ``*``. ``*`` alone names no subresource."""
    scope: str

    @classmethod
    def read(cls, rule: pb.RuleWithOperations) -> Rule:
        """Read it from its message."""
        r = rule.rule
        resources = tuple((name, part) for name, _, part in (one.partition("/") for one in r.resources))
        return cls(frozenset(rule.operations), frozenset(r.apiGroups), frozenset(r.apiVersions), resources, r.scope)

    def names(self, o: Operation) -> bool:
        """Whether it names an operation."""
        return (
            (o.group in self.groups or "*" in self.groups)
            and any(name in (o.resource, "*") and part in (o.subresource, "*") for name, part in self.resources)
            and (o.name in self.operations or "*" in self.operations)
            and (o.version in self.versions or "*" in self.versions)
            and (self.scope in ("", "*") or (self.scope == "Namespaced") is o.namespaced)
        )


def matched(rules: Sequence[Rule], policy: str, operation: Operation, versions: Sequence[str]) -> Operation | None:
    """Give the operation as the rules name it, None where they do not. With the match policy ``Equivalent`` they may
    name any of the kind's other ``versions``."""
    if any(rule.names(operation) for rule in rules):
        return operation
    if policy != EQUIVALENT or not versions:
        return None
    for rule in rules:
        for version in versions:
            if rule.names(other := operation.in_version(version)):
                return other
    return None
