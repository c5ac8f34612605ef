"""Upstream's default roles and their bindings, as a built-in table.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings. One table serves every
server of a cluster. The Node authoriser in the api-server limits a node to single objects.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kubelab.apimachinery import scheme
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import AUTHENTICATED, NODES, User

MASTERS = "system:masters"
ADMINS = "kubeadm:cluster-admins"
MONITORING = "system:monitoring"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
SUPERVISOR = "kubelab-supervisor"
SCHEDULER, CONTROLLER_MANAGER, KUBE_PROXY = (
    "system:kube-scheduler",
    "system:kube-controller-manager",
    "system:kube-proxy",
)


class Rule(NamedTuple):
    """Verbs on targets (see ``Attributes.target``); ``*`` is any, ``*`` among targets any resource without subresource.

    With a namespace or with names the rule holds for these alone.
    """

    verbs: frozenset[str]
    targets: frozenset[str]
    namespace: str = ""
    names: frozenset[str] = frozenset()

    def covers(self, verb: str, target: str) -> bool:
        """Say whether the rule is about this, in some namespace and for some name."""
        if verb not in self.verbs and "*" not in self.verbs:
            return False
        if target in self.targets or ("*" in self.targets and "/" not in target) or "*/*" in self.targets:
            return True
        return target.startswith("/") and any(
            path.endswith("/*") and target.startswith(path[:-1]) for path in self.targets if path.startswith("/")
        )


def rule(verbs: str, targets: str, namespace: str = "", *names: str) -> Rule:
    """Make a rule from words."""
    return Rule(frozenset(verbs.split()), frozenset(targets.split()), namespace, frozenset(names))


def _own_lease(name: str) -> Rule:
    return rule("get list watch create update", "leases.coordination.k8s.io", "kube-system", name)


_EVENTS = rule("create update patch", "events")
# The kinds that may have an owner: the garbage collector removes owners and finalizers. Leases it only deletes.
_OWNED = " ".join(r.qualified for r in scheme.ALL if "update" in r.verbs and r is not scheme.LEASES)

# Whose size an autoscaler may change.
_SCALED = " ".join(f"{r.qualified}/scale" for r in scheme.ALL if "scale" in r.subresources)

ROLES: Mapping[str, tuple[Rule, ...]] = {
    "cluster-admin": (rule("*", "*/*"),),
    "system:discovery": (
        rule("get", "/ /api /api/* /apis /apis/* /healthz /livez /readyz /version /openapi /openapi/*"),
    ),
    "system:basic-user": (
        rule(
            "create",
            "selfsubjectaccessreviews.authorization.k8s.io selfsubjectrulesreviews.authorization.k8s.io"
            " selfsubjectreviews.authentication.k8s.io",
        ),
    ),
    "system:service-account-issuer-discovery": (rule("get", "/.well-known/openid-configuration /openid/v1/jwks"),),
    "system:monitoring": (rule("get", "/metrics"),),
    "system:kube-scheduler": (
        rule("get list watch", "nodes pods namespaces services replicationcontrollers"),
        rule("get list watch", "replicasets.apps statefulsets.apps poddisruptionbudgets.policy"),
        rule("create", "pods/binding bindings"),
        rule("update patch", "pods/status"),
        rule("delete", "pods"),
        _own_lease("kube-scheduler"),
        _EVENTS,
    ),
    # The union of upstream's controller roles that have their controller here: the garbage collector and the namespace
    # controller read and delete everything.
    "system:kube-controller-manager": (
        rule("get list watch delete deletecollection", "*"),
        rule("update patch", _OWNED),
        rule("create", "pods endpoints endpointslices.discovery.k8s.io serviceaccounts"),
        rule("create", "controllerrevisions.apps jobs.batch replicasets.apps"),
        rule("update patch", "pods/status nodes/status namespaces/status namespaces/finalize"),
        rule("update patch", "replicationcontrollers/status replicasets.apps/status deployments.apps/status"),
        rule("update patch", "resourcequotas/status horizontalpodautoscalers.autoscaling/status"),
        rule("update patch", "jobs.batch/status cronjobs.batch/status daemonsets.apps/status statefulsets.apps/status"),
        rule("update patch", "poddisruptionbudgets.policy/status"),
        rule("get update", _SCALED),
        _own_lease("kube-controller-manager"),
        _EVENTS,
    ),
    "system:node-proxier": (rule("get list watch", "services endpointslices.discovery.k8s.io nodes"), _EVENTS),
    # What every node may do. Upstream's 1.32 lets a node read its own Node only; here kubelets keep the routes to each
    # other's pods and need all of them.
    "system:node": (rule("get list watch", "nodes services"), _EVENTS),
    "system:kubelet-api-admin": (
        rule("get list watch", "nodes"),
        rule("*", "nodes/proxy nodes/log nodes/stats nodes/metrics"),
    ),
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    MASTERS: ("cluster-admin",),
    ADMINS: ("cluster-admin",),
    MONITORING: ("system:monitoring",),
    "system:serviceaccounts": ("system:service-account-issuer-discovery",),
    NODES: ("system:node",),
    AUTHENTICATED: ("system:basic-user", "system:discovery"),
}
USERS: Mapping[str, tuple[str, ...]] = {
    SCHEDULER: ("system:kube-scheduler",),
    CONTROLLER_MANAGER: ("system:kube-controller-manager",),
    KUBE_PROXY: ("system:node-proxier",),
    KUBELET_CLIENT: ("system:kubelet-api-admin",),
}


def roles_of(user: User) -> list[str]:
    """The roles that are bound to a user or to a group of theirs, each once."""
    roles = [role for group in sorted(user.groups) for role in GROUPS.get(group, ())]
    if NODES in user.groups and not user.node:  # a certificate of the group that names no node is no node's
        roles.remove("system:node")
    return list(dict.fromkeys([*roles, *USERS.get(user.name, ())]))


def rules_of(user: User) -> Iterable[Rule]:
    """Every rule that holds for a user."""
    return (one for role in roles_of(user) for one in ROLES[role])


def allows(a: Attributes) -> bool:
    """Say whether a rule allows a request."""
    scopes = _scopes(a.user, a.verb, a.target)
    if scopes is EVERYWHERE:
        return True
    return any(
        (not namespace or namespace == a.namespace) and (not names or a.name in names) for namespace, names in scopes
    )


EVERYWHERE = (("", frozenset[str]()),)


@functools.lru_cache(maxsize=4096)
def _scopes(user: User, verb: str, target: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the namespaces and names for which a user may do something; empty where no rule covers it."""
    scopes = {(one.namespace, one.names) for one in rules_of(user) if one.covers(verb, target)}
    return EVERYWHERE if EVERYWHERE[0] in scopes else tuple(scopes)
