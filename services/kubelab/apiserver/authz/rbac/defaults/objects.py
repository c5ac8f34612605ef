"""All default roles and bindings as objects."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.rbac.reconciliation import AUTOUPDATE
from kubelab.apimachinery.rbac.rules import Rule, message_of
from kubelab.apimachinery.scheme import ROLES
from kubelab.apiserver.authz.rbac.defaults.clusterroles import CLUSTER_ROLES
from kubelab.apiserver.authz.rbac.defaults.controllerroles import CONTROLLER_ROLES, PREFIX, RUNNING
from kubelab.apiserver.authz.rbac.defaults.namespaceroles import NAMESPACE_BINDINGS, NAMESPACE_ROLES
from kubelab.apiserver.authz.rbac.defaults.subjects import account, group, user
from kubelab.apiserver.authz.rbac.defaults.userroles import AGGREGATED, CLUSTER_ADMIN, CONTRIBUTIONS
from kubelab.auth import roles
from kubelab.auth.users import AUTHENTICATED, NODES, UNAUTHENTICATED

LABELS: Mapping[str, str] = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_TO = "rbac.authorization.k8s.io/aggregate-to-"
SERVICE_ACCOUNTS = "system:serviceaccounts"


def _bindings() -> Iterator[tuple[str, str, Sequence[rbac_pb2.Subject]]]:
    """Name, cluster role and subjects of every cluster role binding."""
    yield "cluster-admin", "cluster-admin", [group(roles.MASTERS)]
    yield roles.ADMINS, "cluster-admin", [group(roles.ADMINS)]
    own: Mapping[str, Sequence[rbac_pb2.Subject]] = {
        "system:basic-user": [group(AUTHENTICATED)],
        "system:discovery": [group(AUTHENTICATED)],
        "system:public-info-viewer": [group(AUTHENTICATED), group(UNAUTHENTICATED)],
        "system:kube-controller-manager": [user(roles.CONTROLLER_MANAGER)],
        "system:kube-dns": [account("kube-dns")],
        "system:kube-scheduler": [user(roles.SCHEDULER)],
        "system:volume-scheduler": [user(roles.SCHEDULER)],
        "system:monitoring": [group(roles.MONITORING)],
        "system:node": [],  # the Node authoriser decides for nodes
        "system:node-proxier": [user(roles.KUBE_PROXY)],
        "system:service-account-issuer-discovery": [group(SERVICE_ACCOUNTS)],
    }
    for name, subjects in own.items():
        yield name, name, subjects
    for name in CONTROLLER_ROLES:
        running = [user(roles.CONTROLLER_MANAGER)] if name in RUNNING else []
        yield PREFIX + name, PREFIX + name, [account(name), *running]
    own_certificate = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    yield "kubeadm:node-autoapprove-certificate-rotation", own_certificate, [group(NODES)]
    yield "kubelab:kubelet-api-admin", "system:kubelet-api-admin", [user(roles.KUBELET_CLIENT)]


def _meta(name: str, namespace: str = "", labels: Mapping[str, str] | None = None) -> meta_pb2.ObjectMeta:
    return meta_pb2.ObjectMeta(
        name=name, namespace=namespace, labels={**LABELS, **(labels or {})}, annotations={AUTOUPDATE: "true"}
    )


def _cluster_role(name: str, rules: Iterable[Rule], labels: Mapping[str, str] | None = None) -> rbac_pb2.ClusterRole:
    return rbac_pb2.ClusterRole(metadata=_meta(name, labels=labels), rules=map(message_of, rules))


def _aggregated(name: str, container: str) -> rbac_pb2.ClusterRole:
    made = _cluster_role(name, (), {f"{_TO}{container}": "true"} if container else None)
    made.aggregationRule.clusterRoleSelectors.add(matchLabels={f"{_TO}{name}": "true"})
    return made


@functools.cache
def default_objects() -> Sequence[Message]:
    """Every default object, in the order in which they are written: a role before what refers to it. Nobody changes
    them. The rules of aggregated roles are empty."""
    containers = {part: whole for whole, part in AGGREGATED.items()}
    cluster_roles = [
        _cluster_role("cluster-admin", CLUSTER_ADMIN),
        *(_aggregated(name, containers.get(name, "")) for name in AGGREGATED),
        *(
            _cluster_role(f"system:aggregate-to-{name}", rules, {f"{_TO}{name}": "true"})
            for name, rules in CONTRIBUTIONS.items()
        ),
        *(_cluster_role(name, rules) for name, rules in CLUSTER_ROLES.items()),
        *(_cluster_role(PREFIX + name, rules) for name, rules in CONTROLLER_ROLES.items()),
    ]
    namespaced = [
        rbac_pb2.Role(metadata=_meta(name, namespace), rules=map(message_of, rules))
        for (namespace, name), rules in NAMESPACE_ROLES.items()
    ]
    cluster_bindings = [
        rbac_pb2.ClusterRoleBinding(metadata=_meta(name), subjects=subjects, roleRef=_reference("ClusterRole", role))
        for name, role, subjects in _bindings()
    ]
    bindings = [
        rbac_pb2.RoleBinding(metadata=_meta(name, namespace), subjects=subjects, roleRef=_reference("Role", role))
        for namespace, name, role, subjects in NAMESPACE_BINDINGS
    ]
    return (*cluster_roles, *namespaced, *cluster_bindings, *bindings)


def _reference(kind: str, name: str) -> rbac_pb2.RoleRef:
    return rbac_pb2.RoleRef(apiGroup=ROLES.group, kind=kind, name=name)
