"""What role bindings and cluster role bindings share: a role, subjects, and the cells of their rows
(upstream: pkg/apis/rbac/validation, pkg/apis/rbac/v1/defaults.go)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.scheme import ROLES
from kubelab.apiserver.printers.cells import age
from kubelab.apiserver.strategies import causes

SERVICE_ACCOUNT, USER, GROUP = "ServiceAccount", "User", "Group"
Binding = rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding


def default(binding: Binding) -> None:
    """Fill in the API groups of the role and of the subjects."""
    binding.roleRef.apiGroup = binding.roleRef.apiGroup or ROLES.group
    for subject in binding.subjects:
        if subject.kind in (USER, GROUP):
            subject.apiGroup = subject.apiGroup or ROLES.group


def validate(binding: Binding, role_kinds: Sequence[str], *, namespaced: bool) -> list[Cause]:
    """All complaints about a binding's role and subjects."""
    role = binding.roleRef
    complaints: list[Cause] = []
    if role.apiGroup != ROLES.group:
        complaints.append(causes.unsupported("roleRef.apiGroup", role.apiGroup, (ROLES.group,)))
    if role.kind not in role_kinds:
        complaints.append(causes.unsupported("roleRef.kind", role.kind, role_kinds))
    if not role.name:
        complaints.append(causes.required("roleRef.name"))
    complaints += causes.each("roleRef.name", role.name, names.path_segment(role.name))
    for i, subject in enumerate(binding.subjects):
        complaints += _subject(subject, f"subjects[{i}]", namespaced=namespaced)
    return complaints


def validate_change(new: rbac_pb2.RoleRef, old: rbac_pb2.RoleRef) -> list[Cause]:
    """Complain of another role: who may change the subjects must not choose what they may do."""
    if new == old:
        return []
    parts = (("APIGroup", new.apiGroup), ("Kind", new.kind), ("Name", new.name))
    shown = ", ".join(f"{name}:{causes.quoted(value)}" for name, value in parts)
    return [causes.invalid("roleRef", causes.Raw(f"rbac.RoleRef{{{shown}}}"), "cannot change roleRef")]


def _subject(subject: rbac_pb2.Subject, field: str, *, namespaced: bool) -> list[Cause]:
    complaints: list[Cause] = []
    if not subject.name:
        complaints.append(causes.required(f"{field}.name"))
    match subject.kind:
        case "ServiceAccount":
            if subject.name:
                complaints += causes.each(f"{field}.name", subject.name, names.dns_subdomain(subject.name))
            if subject.apiGroup:
                complaints.append(causes.unsupported(f"{field}.apiGroup", subject.apiGroup, ("",)))
            if not namespaced and not subject.namespace:
                complaints.append(causes.required(f"{field}.namespace"))
        case "User" | "Group":
            if not subject.name:
                why = f"{subject.kind.lower()} name cannot be empty"
                complaints.append(causes.invalid(f"{field}.name", subject.name, why))
            if subject.apiGroup != ROLES.group:
                complaints.append(causes.unsupported(f"{field}.apiGroup", subject.apiGroup, (ROLES.group,)))
        case kind:
            complaints.append(causes.unsupported(f"{field}.kind", kind, (SERVICE_ACCOUNT, USER, GROUP)))
    return complaints


def row(binding: Binding, now: float) -> list[str]:
    """The cells of a row of bindings, as kubectl 1.32 prints them."""
    role, subjects = binding.roleRef, binding.subjects
    accounts = (f"{s.namespace}/{s.name}" for s in subjects if s.kind == SERVICE_ACCOUNT)
    return [
        binding.metadata.name,
        f"{role.kind}/{role.name}",
        age(binding.metadata.creationTimestamp, now),
        _names(subjects, USER),
        _names(subjects, GROUP),
        ", ".join(accounts),
    ]


def _names(subjects: Iterable[rbac_pb2.Subject], kind: str) -> str:
    return ", ".join(subject.name for subject in subjects if subject.kind == kind)
