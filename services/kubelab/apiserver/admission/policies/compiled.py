"""Policies and bindings, decoded and compiled once for each revision."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.labelselectors import of_stored
from kubelab.apiserver.admission.operations import Operation, matched
from kubelab.apiserver.cel.admission import BOOL, NULL, STRING, Compiled, Compiler, match_conditions


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy or a binding is about."""

    resources: pb.MatchResources
    namespaces: Selector
    objects: Selector

    def operation(self, operation: Operation, versions: Sequence[str], name: str) -> Operation | None:
        """Give the operation on the object of this name as the rules name it; None where they leave it out. No rules at
        all name everything."""
        r = self.resources
        if self._named(r.excludeResourceRules, operation, versions, name) is not None:
            return None
        if not r.resourceRules:
            return operation
        return self._named(r.resourceRules, operation, versions, name)

    def _named(
        self, rules: Sequence[pb.NamedRuleWithOperations], operation: Operation, versions: Sequence[str], name: str
    ) -> Operation | None:
        chosen = [r.ruleWithOperations for r in rules if not r.resourceNames or name in r.resourceNames]
        return matched(chosen, self.resources.matchPolicy, operation, versions)


@dataclass(frozen=True, slots=True)
class Check:
    """One validation of a policy."""

    validation: pb.Validation
    expression: Compiled
    message: Compiled | None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, ready to be evaluated."""

    name: str
    spec: pb.ValidatingAdmissionPolicySpec
    match: Match
    conditions: tuple[Compiled, ...]
    variables: tuple[tuple[str, Compiled], ...]
    checks: tuple[Check, ...]
    annotations: tuple[tuple[str, Compiled], ...]

    @property
    def ignores_failures(self) -> bool:
        return self.spec.failurePolicy == "Ignore"


@dataclass(frozen=True, slots=True)
class Binding:
    """What puts a policy to use. Without ``match`` it takes every request of the policy."""

    name: str
    spec: pb.ValidatingAdmissionPolicyBindingSpec
    match: Match | None


@functools.lru_cache(maxsize=512)
def policy(raw: bytes) -> Policy:
    """Decode and compile a policy. What does not compile fails when it is evaluated."""
    obj = pb.ValidatingAdmissionPolicy.FromString(raw)
    spec, params = obj.spec, obj.spec.HasField("paramKind")
    compiler = Compiler(params=params)
    variables = tuple((v.name, compiler.variable(v.name, v.expression)) for v in spec.variables)
    checks = tuple(
        Check(
            v,
            compiler.compile(v.expression, BOOL),
            compiler.compile(v.messageExpression, STRING) if v.messageExpression else None,
        )
        for v in spec.validations
    )
    annotations = tuple(
        (a.key, compiler.compile(a.valueExpression.strip(), STRING, NULL)) for a in spec.auditAnnotations
    )
    conditions = match_conditions(spec.matchConditions, params=params)
    return Policy(obj.metadata.name, spec, _match(spec.matchConstraints), conditions, variables, checks, annotations)


@functools.lru_cache(maxsize=512)
def binding(raw: bytes) -> Binding:
    """Decode a binding."""
    obj = pb.ValidatingAdmissionPolicyBinding.FromString(raw)
    match = _match(obj.spec.matchResources) if obj.spec.HasField("matchResources") else None
    return Binding(obj.metadata.name, obj.spec, match)


def _match(resources: pb.MatchResources) -> Match:
    return Match(resources, of_stored(resources.namespaceSelector), of_stored(resources.objectSelector))
