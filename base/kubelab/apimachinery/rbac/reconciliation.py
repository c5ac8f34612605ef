"""How roles and bindings that are there come to hold what they should hold, and what that changes.

After upstream's ``component-helpers/auth/rbac/reconciliation``: what is missing is added; what is there besides stays
unless it is to be removed. A binding to another role is made anew, since a binding's role cannot be changed.
"""

from __future__ import annotations

import enum
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.rbac.rules import Rule, message_of, rules_of, uncovered

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
Role = rbac_pb2.Role | rbac_pb2.ClusterRole
Binding = rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding
R = TypeVar("R", rbac_pb2.Role, rbac_pb2.ClusterRole)
B = TypeVar("B", rbac_pb2.RoleBinding, rbac_pb2.ClusterRoleBinding)
O = TypeVar("O")  # noqa: E741


class Operation(enum.Enum):
    """What has to be done."""

    NONE = "none"
    CREATE = "create"
    UPDATE = "update"
    RECREATE = "recreate"


@dataclass(slots=True)
class Reconciled(Generic[O]):
    """What has to be done with which object, and why. A ``protected`` one says itself that it is not to be changed."""

    operation: Operation
    obj: O
    protected: bool = False
    missing_rules: list[Rule] = field(default_factory=list[Rule])
    extra_rules: list[Rule] = field(default_factory=list[Rule])
    missing_selectors: list[meta_pb2.LabelSelector] = field(default_factory=list[meta_pb2.LabelSelector])
    extra_selectors: list[meta_pb2.LabelSelector] = field(default_factory=list[meta_pb2.LabelSelector])
    missing_subjects: list[rbac_pb2.Subject] = field(default_factory=list[rbac_pb2.Subject])
    extra_subjects: list[rbac_pb2.Subject] = field(default_factory=list[rbac_pb2.Subject])


def reconcile_role(existing: R | None, expected: R, *, remove_extra: bool = False) -> Reconciled[R]:
    """Say what makes a role hold the expected rules."""
    if existing is None:
        made = Reconciled(Operation.CREATE, expected, missing_rules=list(rules_of(expected.rules)))
        made.missing_selectors = _selectors(expected)
        return made
    result = Reconciled(Operation.NONE, deep_copy(existing), protected=_protected(existing.metadata))
    changed = _merge(result.obj.metadata, expected.metadata)
    if not (_is_aggregated(existing) and _is_aggregated(expected)):
        result.extra_rules = uncovered(rules_of(expected.rules), rules_of(existing.rules))
    result.missing_rules = uncovered(rules_of(existing.rules), rules_of(expected.rules))
    if remove_extra and (result.missing_rules or result.extra_rules):
        del result.obj.rules[:]
        result.obj.rules.extend(expected.rules)
        changed = True
    elif result.missing_rules:
        result.obj.rules.extend(map(message_of, result.missing_rules))
        changed = True
    changed |= _reconcile_selectors(result, existing, expected, remove_extra=remove_extra)
    if changed:
        result.operation = Operation.UPDATE
    return result


def _reconcile_selectors(result: Reconciled[R], existing: R, expected: R, *, remove_extra: bool) -> bool:
    there, wanted = _selectors(existing), _selectors(expected)
    result.missing_selectors = [one for one in wanted if one not in there]
    result.extra_selectors = [one for one in there if one not in wanted]
    obj = result.obj
    if not isinstance(obj, rbac_pb2.ClusterRole):
        return False
    if _is_aggregated(existing) and not _is_aggregated(expected):
        obj.ClearField("aggregationRule")
        return True
    if remove_extra and (result.missing_selectors or result.extra_selectors):
        del obj.aggregationRule.clusterRoleSelectors[:]
        obj.aggregationRule.clusterRoleSelectors.extend(wanted)
        return True
    if result.missing_selectors:
        obj.aggregationRule.clusterRoleSelectors.extend(result.missing_selectors)
        return True
    return False


def reconcile_binding(existing: B | None, expected: B, *, remove_extra: bool = False) -> Reconciled[B]:
    """Say what makes a binding give the expected role to the expected subjects."""
    if existing is None:
        return Reconciled(Operation.CREATE, expected, missing_subjects=list(expected.subjects))
    protected = _protected(existing.metadata)
    if existing.roleRef != expected.roleRef:
        made = Reconciled(Operation.RECREATE, expected, protected=protected)
        made.missing_subjects, made.extra_subjects = _difference(expected.subjects, existing.subjects)
        return made
    result = Reconciled(Operation.NONE, deep_copy(existing), protected=protected)
    changed = _merge(result.obj.metadata, expected.metadata)
    result.missing_subjects, result.extra_subjects = _difference(expected.subjects, existing.subjects)
    if remove_extra and (result.missing_subjects or result.extra_subjects):
        del result.obj.subjects[:]
        result.obj.subjects.extend(expected.subjects)
        changed = True
    elif result.missing_subjects:
        result.obj.subjects.extend(result.missing_subjects)
        changed = True
    if changed:
        result.operation = Operation.UPDATE
    return result


def _difference(
    wanted: Sequence[rbac_pb2.Subject], there: Sequence[rbac_pb2.Subject]
) -> tuple[list[rbac_pb2.Subject], list[rbac_pb2.Subject]]:
    return [one for one in wanted if one not in there], [one for one in there if one not in wanted]


def _protected(m: meta_pb2.ObjectMeta) -> bool:
    return m.annotations.get(AUTOUPDATE) == "false"


def _is_aggregated(role: Role) -> bool:
    return isinstance(role, rbac_pb2.ClusterRole) and role.HasField("aggregationRule")


def _selectors(role: Role) -> list[meta_pb2.LabelSelector]:
    return list(role.aggregationRule.clusterRoleSelectors) if isinstance(role, rbac_pb2.ClusterRole) else []


def _merge(m: meta_pb2.ObjectMeta, expected: meta_pb2.ObjectMeta) -> bool:
    """Add expected labels and annotations; what is there wins."""
    labels = _add(m.labels, expected.labels)
    return _add(m.annotations, expected.annotations) or labels


def _add(there: MutableMapping[str, str], expected: MutableMapping[str, str]) -> bool:
    missing = {key: value for key, value in expected.items() if key not in there}
    there.update(missing)
    return bool(missing)
