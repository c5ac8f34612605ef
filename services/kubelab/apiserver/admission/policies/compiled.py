"""Policies and bindings, decoded and compiled once for each revision."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.labelselectors import of_stored
from kubelab.apiserver.admission.operations import Operation, Rule, matched
from kubelab.apiserver.cel.admission import BOOL, NULL, STRING, Compiled, Compiler, match_conditions


@dataclass(frozen=True, slots=True)
class Named:
    """A rule, for the objects of these names alone; for all where there are none."""

    rule: Rule
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy or a binding is about."""

    policy: str  # Equivalent or Exact
    rules: tuple[Named, ...]
    excluded: tuple[Named, ...]
    namespaces: Selector
    objects: Selector

    def operation(self, operation: Operation, versions: Sequence[str], name: str) -> Operation | None:
        """Give the operation on the object of this name as the rules name it; None where they leave it out. No rules at
        all name everything."""
        if self.rules:
            found = self._named(self.rules, operation, versions, name)
        else:
            found = operation
        if found is None or not self.excluded:
            return found
        return found if self._named(self.excluded, operation, versions, name) is None else None

    def _named(
        self, named: Sequence[Named], operation: Operation, versions: Sequence[str], name: str
    ) -> Operation | None:
        chosen = [one.rule for one in named if not one.names or name in one.names]
        return matched(chosen, self.policy, operation, versions)


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
    rules, excluded = (
        tuple(Named(Rule.read(one.ruleWithOperations), frozenset(one.resourceNames)) for one in given)
        for given in (resources.resourceRules, resources.excludeResourceRules)
    )
    namespaces, objects = of_stored(resources.namespaceSelector), of_stored(resources.objectSelector)
    return Match(resources.matchPolicy, rules, excluded, namespaces, objects)
