"""Nobody gives, by a role or a binding, what they do not have
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).

Who may ``escalate`` a role writes any rule into it; who may ``bind`` a role gives it to anybody. Upstream checks that
where roles are stored (pkg/registry/rbac), after admission; so this plugin comes last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.rbac.rules import Rule, compact, compact_string, quoted_words, rules_of, uncovered
from kubelab.apimachinery.scheme import CLUSTER_ROLES, ROLES
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.auth.attributes import Attributes
from kubelab.auth.roles import MASTERS
from kubelab.auth.users import User

Role = rbac_pb2.Role | rbac_pb2.ClusterRole
Binding = rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding
_ALL = ("*",)
EVERYTHING = (Rule(_ALL, _ALL, _ALL), Rule(_ALL, urls=_ALL))


class EscalationCheck(AdmissionPlugin):
    """Compares what is given with what the user has."""

    name: ClassVar[str] = "RBACEscalationCheck"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, a: Attributes) -> bool:
        return a.group == ROLES.group and a.verb in ("create", "update") and MASTERS not in a.user.groups

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Refuse rules that the user does not have; NotFound for a binding to a role that is not there."""
        if new is None or (old is not None and _only_for_collection(new, old)):
            return
        if isinstance(new, rbac_pb2.Role | rbac_pb2.ClusterRole):
            self._check_role(a, new, known=old is not None)
        else:
            self._check_binding(a, cast(Binding, new))

    def _check_role(self, a: Attributes, role: Role, *, known: bool) -> None:
        name = role.metadata.name
        if self._authorizer.may(replace(a, verb="escalate", name=name if known else "")):
            return
        if missing := self._missing(a, rules_of(role.rules)):
            raise errors.forbidden(a.resource, name, _refusal(a.user, missing), a.group)
        if isinstance(role, rbac_pb2.ClusterRole) and role.HasField("aggregationRule") and self._missing(a, EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise errors.forbidden(a.resource, name, why, a.group)

    def _check_binding(self, a: Attributes, binding: Binding) -> None:
        reference = binding.roleRef
        resource, namespace = (ROLES, a.namespace) if reference.kind == "Role" else (CLUSTER_ROLES, "")
        bind = Attributes(a.user, "bind", resource.group, resource.plural, "", a.namespace, reference.name)
        if self._authorizer.may(bind):
            return
        rules = self._authorizer.roles.role(namespace, reference.name)
        if rules is None:
            raise errors.not_found(resource.plural, reference.name, resource.group)
        if missing := self._missing(a, rules):
            raise errors.forbidden(a.resource, binding.metadata.name, _refusal(a.user, missing), a.group)

    def _missing(self, a: Attributes, rules: Iterable[Rule]) -> list[Rule]:
        return uncovered(self._authorizer.roles.rules_of(a.user, a.namespace), rules)


def _refusal(user: User, missing: Iterable[Rule]) -> str:
    described = "\n".join(sorted({compact_string(rule) for rule in compact(missing)}))
    held = f"user {quoted_words([user.name])[1:-1]} (groups={quoted_words(sorted(user.groups))})"
    return f"{held} is attempting to grant RBAC permissions not currently held:\n{described}"


def _only_for_collection(new: Message, old: Message) -> bool:
    """Whether a change is one that garbage collection makes, to owners and finalizers alone."""
    changed = deep_copy(new)
    m, before = meta_of(changed), meta_of(old)
    for field in ("ownerReferences", "finalizers", "managedFields"):
        m.ClearField(field)
        getattr(m, field).extend(getattr(before, field))
    m.resourceVersion = before.resourceVersion
    return changed == old
