"""The policies that a request must satisfy, and what follows where it does not
(https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/).

A policy is evaluated inside the write's decision, on the very state that is stored, as the plugins of the chain are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import (
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    Resource,
)
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.apiserver.admission.operations import GROUP, POLICIES, Operation
from kubelab.apiserver.admission.policies import compiled, parameters
from kubelab.apiserver.admission.policies.compiled import Binding, Policy
from kubelab.apiserver.admission.policies.evaluation import Violation, judge
from kubelab.apiserver.admission.policies.parameters import ParameterError
from kubelab.apiserver.admission.requests import Reviewed
from kubelab.apiserver.cel.admission import Budget
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.watchcache.changes import Change
from kubelab.auth.attributes import Attributes

MAX_ANNOTATION = 10 * 1024  # characters
_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_NEVER = frozenset(  # what upstream keeps from policies: questions, which change nothing
    {("authentication.k8s.io", "selfsubjectreviews"), ("authentication.k8s.io", "tokenreviews")}
    | {("authorization.k8s.io", f"{kind}accessreviews") for kind in ("localsubject", "selfsubject", "subject")}
    | {("authorization.k8s.io", "selfsubjectrulesreviews")}
    | {(GROUP, plural) for plural in POLICIES}
)


class Policies:
    """The policies of a cluster, from the caches."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._policies = resources.caches[VALIDATING_ADMISSION_POLICIES]
        self._bindings = resources.caches[VALIDATING_ADMISSION_POLICY_BINDINGS]
        self._in_use: list[tuple[Policy, list[Binding]]] | None = None
        for cache in (self._policies, self._bindings):
            cache.on_change(self._changed)
            cache.on_replace(self._forget)

    def __bool__(self) -> bool:
        """Whether any is put to use."""
        return bool(self._policies.entries and self._bindings.entries)

    def of(self, reviewed: Reviewed) -> PolicyReview | None:
        """Choose the policies that may have something to say about what a request does; None where there are none."""
        operation = reviewed.operation
        if (operation.group, operation.resource) in _NEVER:
            return None
        if self._in_use is None:
            self._in_use = self._bound()
        return PolicyReview(self._resources, reviewed, self._in_use) if self._in_use else None

    def _changed(self, change: Change) -> None:
        del change
        self._forget()

    def _forget(self) -> None:
        self._in_use = None

    def _bound(self) -> list[tuple[Policy, list[Binding]]]:
        """Give every policy that has bindings, with them. One without rules, which no api-server would store, is about
        nothing."""
        bindings: dict[str, list[Binding]] = {}
        for entry in sorted(self._bindings.entries.values(), key=lambda entry: entry.name):
            bound = compiled.binding(entry.raw)
            bindings.setdefault(bound.spec.policyName, []).append(bound)
        entries = sorted(self._policies.entries.values(), key=lambda entry: entry.name)
        found = [(compiled.policy(entry.raw), bindings[entry.name]) for entry in entries if entry.name in bindings]
        return [(policy, bound) for policy, bound in found if policy.match.rules]


class _Denial(NamedTuple):
    policy: Policy
    binding: Binding | None
    violation: Violation


class PolicyReview(AdmissionPlugin):
    """One request and the policies that it must satisfy. It warns the request's client, and notes what the request's
    audit record says."""

    name: ClassVar[str] = "ValidatingAdmissionPolicy"

    def __init__(
        self, resources: Resources, reviewed: Reviewed, policies: Sequence[tuple[Policy, Sequence[Binding]]]
    ) -> None:
        self._resources, self._reviewed, self._policies = resources, reviewed, policies

    def handles(self, a: Attributes) -> bool:
        del a
        return True

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Evaluate the policies. Invalid, or what else the first violation gives as its reason."""
        del a
        shown = new if new is not None else old
        assert shown is not None
        denials: list[_Denial] = []
        for policy, bindings in self._policies:
            denials += self._denials(policy, bindings, new, old, meta_of(shown).name)
        if denials:
            raise self._refusal(denials[0], shown)

    def _denials(
        self, policy: Policy, bindings: Sequence[Binding], new: Message | None, old: Message | None, name: str
    ) -> Iterator[_Denial]:
        reviewed, match = self._reviewed, policy.match
        operation = match.operation(reviewed.operation, reviewed.versions, name)
        if operation is None or not reviewed.selected(match.namespaces, match.objects, new, old):
            return
        kind: Resource[Message] | None = None
        if policy.spec.HasField("paramKind"):
            try:
                kind = parameters.kind_of(self._resources, policy.spec.paramKind)
            except ParameterError as err:
                if not policy.ignores_failures:
                    yield _Denial(policy, None, Violation(f"failed to configure policy: {err}"))
                return
        values = _Values(reviewed, operation, new, old)
        annotations: dict[str, list[str]] = {}
        for binding in bindings:
            match = binding.match
            if match is not None and (
                match.operation(reviewed.operation, reviewed.versions, name) is None
                or not reviewed.selected(match.namespaces, match.objects, new, old)
            ):
                continue
            yield from self._bound(policy, binding, kind, values, annotations)
        for key, found in annotations.items():
            self._reviewed.request.annotations[f"{policy.name}/{key}"] = ", ".join(found)

    def _bound(
        self,
        policy: Policy,
        binding: Binding,
        kind: Resource[Message] | None,
        values: _Values,
        annotations: dict[str, list[str]],
    ) -> Iterator[_Denial]:
        """Evaluate a policy as one binding puts it to use."""
        found: Sequence[Mapping[str, Any] | None] = [None]
        if kind is not None and binding.spec.HasField("paramRef"):
            try:
                namespace = self._reviewed.operation.namespace
                found = parameters.of_binding(self._resources, kind, binding.spec.paramRef, namespace)
            except ParameterError as err:
                if not policy.ignores_failures:
                    yield _Denial(policy, binding, Violation(f"failed to configure binding: {err}"))
                return
        for params in found:
            verdict = judge(policy, values.with_params(params), values.namespace, Budget())
            for violation in verdict.violations:
                if self._follow(policy, binding, violation):
                    yield _Denial(policy, binding, violation)
            for key, value in verdict.annotations:
                if (value := value[:MAX_ANNOTATION]) not in annotations.setdefault(key, []):
                    annotations[key].append(value)
            yield from (_Denial(policy, binding, failure) for failure in verdict.failures)

    def _follow(self, policy: Policy, binding: Binding, violation: Violation) -> bool:
        """Do what a binding asks where a policy is violated; says whether the request is refused."""
        request, actions = self._reviewed.request, list(binding.spec.validationActions)
        if "Warn" in actions:
            text = (
                f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' "
                f"with binding '{binding.name}': {violation.message}"
            )
            if text not in request.warnings:  # the decision may be made again
                request.warnings = [*request.warnings, text]
        if "Audit" in actions:
            failure = {
                "message": violation.message,
                "policy": policy.name,
                "binding": binding.name,
                "expressionIndex": violation.index,
                "validationActions": actions,
            }
            request.annotations[_FAILURE] = json.dumps([failure], separators=(",", ":"))
        return "Deny" in actions

    def _refusal(self, denial: _Denial, shown: Message) -> errors.ApiError:
        policy, binding, violation = denial
        bound = f" with binding '{binding.name}'" if binding is not None else ""
        why = f"ValidatingAdmissionPolicy '{policy.name}'{bound} denied request: {violation.message}"
        refusal = self._reviewed.refusal(shown, why)
        kind = errors.BY_REASON.get(violation.reason, errors.Invalid)
        cause = errors.Cause("", why, "")
        return kind(refusal.message, name=refusal.name, group=refusal.group, kind=refusal.kind, causes=[cause])


class _Values:
    """What expressions read of a request, made once and only where a binding takes it."""

    def __init__(self, reviewed: Reviewed, operation: Operation, new: Message | None, old: Message | None) -> None:
        self._reviewed, self._operation, self._new, self._old = reviewed, operation, new, old
        self._made: dict[str, Any] | None = None
        self.namespace: Mapping[str, Any] | None = None

    def with_params(self, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if self._made is None:
            shown = self._new if self._new is not None else self._old
            assert shown is not None
            self._made = {
                "object": self._reviewed.document(self._new, self._operation),
                "oldObject": self._reviewed.document(self._old, self._operation),
                "request": self._reviewed.described(shown, self._operation),
            }
            self.namespace = self._reviewed.namespace()
        return {**self._made, "params": params}
