"""The roles and role bindings of kube-system and kube-public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apiserver.authz.rbac.defaults.controllerroles import PREFIX
from kubelab.apiserver.authz.rbac.defaults.subjects import SYSTEM, account, user
from kubelab.apiserver.authz.rbac.defaults.words import EVENTS, READ, rule
from kubelab.auth import roles

PUBLIC = "kube-public"
_READER = "extension-apiserver-authentication-reader"
_LEADERS = {"kube-controller-manager": roles.CONTROLLER_MANAGER, "kube-scheduler": roles.SCHEDULER}

NAMESPACE_ROLES: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    (SYSTEM, _READER): (rule(READ, "configmaps", names="extension-apiserver-authentication"),),
    (SYSTEM, f"{PREFIX}bootstrap-signer"): (rule(READ, "secrets"),),
    (SYSTEM, f"{PREFIX}cloud-provider"): (rule(f"create {READ}", "configmaps"),),
    (SYSTEM, f"{PREFIX}token-cleaner"): (rule(f"delete {READ}", "secrets"), EVENTS),
    **{
        (SYSTEM, f"system::leader-locking-{name}"): (
            rule("watch", "configmaps"),
            rule("get update", "configmaps", names=name),
        )
        for name in _LEADERS
    },
    (PUBLIC, f"{PREFIX}bootstrap-signer"): (
        rule(READ, "configmaps"),
        rule("update", "configmaps", names="cluster-info"),
        EVENTS,
    ),
}
"""Rules by namespace and name."""

NAMESPACE_BINDINGS: Sequence[tuple[str, str, str, Sequence[rbac_pb2.Subject]]] = (
    (SYSTEM, f"system::{_READER}", _READER, [user(name) for name in _LEADERS.values()]),
    *(
        (SYSTEM, f"system::leader-locking-{name}", f"system::leader-locking-{name}", [user(who), account(name)])
        for name, who in _LEADERS.items()
    ),
    *(
        (SYSTEM, PREFIX + name, PREFIX + name, [account(name)])
        for name in ("bootstrap-signer", "cloud-provider", "token-cleaner")
    ),
    (PUBLIC, f"{PREFIX}bootstrap-signer", f"{PREFIX}bootstrap-signer", [account("bootstrap-signer")]),
)
"""Namespace, name, role and subjects."""
