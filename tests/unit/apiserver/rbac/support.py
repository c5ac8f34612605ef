"""Roles, bindings and users for tests."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.rbac.rules import message_of
from kubelab.apiserver.authz.rbac.defaults.subjects import group, user
from kubelab.apiserver.authz.rbac.defaults.words import paths, rule
from kubelab.client.client import Client
from tests.support.apiserver import ApiServerInMemory

__all__ = ["group", "paths", "rule", "user"]  # of the default roles, for tests
GROUP = "rbac.authorization.k8s.io"


def account(name: str, namespace: str = "") -> rbac_pb2.Subject:
    return rbac_pb2.Subject(kind="ServiceAccount", name=name, namespace=namespace)


def role(name: str, *rules: object, namespace: str = "default") -> rbac_pb2.Role:
    made = rbac_pb2.Role(rules=map(message_of, rules))  # pyright: ignore[reportArgumentType]
    made.metadata.name, made.metadata.namespace = name, namespace
    return made


def cluster_role(name: str, *rules: object, labels: dict[str, str] | None = None) -> rbac_pb2.ClusterRole:
    made = rbac_pb2.ClusterRole(rules=map(message_of, rules))  # pyright: ignore[reportArgumentType]
    made.metadata.name = name
    made.metadata.labels.update(labels or {})
    return made


def binding(
    name: str, to: str, *subjects: rbac_pb2.Subject, kind: str = "Role", namespace: str = "default"
) -> rbac_pb2.RoleBinding:
    made = rbac_pb2.RoleBinding(subjects=subjects, roleRef=rbac_pb2.RoleRef(apiGroup=GROUP, kind=kind, name=to))
    made.metadata.name, made.metadata.namespace = name, namespace
    return made


def cluster_binding(name: str, to: str, *subjects: rbac_pb2.Subject) -> rbac_pb2.ClusterRoleBinding:
    reference = rbac_pb2.RoleRef(apiGroup=GROUP, kind="ClusterRole", name=to)
    made = rbac_pb2.ClusterRoleBinding(subjects=subjects, roleRef=reference)
    made.metadata.name = name
    return made


def acting_as(server: ApiServerInMemory, name: str, *groups: str) -> Client:
    """Give a client whose requests are answered as another user's."""
    headers = (("impersonate-user", name), *(("impersonate-group", one) for one in groups))
    return server.client(headers=headers)
