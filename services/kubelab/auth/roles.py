"""The identities of a cluster, and what they may do at its servers other than the api-server.

There roles and bindings decide (:mod:`kubelab.apiserver.authz`). A kubelet's methods and the metrics of components have
this fixed table, so that they can be asked while no api-server answers; it says what upstream's default roles say.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.apimachinery.rbac.rules import Rule
from kubelab.auth.attributes import Attributes

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

_EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))
GROUPS: Mapping[str, tuple[Rule, ...]] = {
    MASTERS: _EVERYTHING,
    ADMINS: _EVERYTHING,
    MONITORING: (Rule(("get",), urls=("/metrics",)),),
}
USERS: Mapping[str, tuple[Rule, ...]] = {
    KUBELET_CLIENT: (Rule(("*",), ("",), ("nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats")),),
}


def allows(a: Attributes) -> bool:
    """Say whether a user may do something at a server other than the api-server."""
    held = [*USERS.get(a.user.name, ()), *(rule for group in a.user.groups for rule in GROUPS.get(group, ()))]
    if a.resource:
        return any(rule.allows(a.verb, a.group, a.resource, a.subresource, a.name) for rule in held)
    return any(rule.allows_path(a.verb, a.path) for rule in held)
