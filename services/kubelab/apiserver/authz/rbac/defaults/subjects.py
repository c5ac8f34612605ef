"""Subjects of default bindings."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.scheme import ROLES

SYSTEM = "kube-system"


def user(name: str) -> rbac_pb2.Subject:
    return rbac_pb2.Subject(kind="User", apiGroup=ROLES.group, name=name)


def group(name: str) -> rbac_pb2.Subject:
    return rbac_pb2.Subject(kind="Group", apiGroup=ROLES.group, name=name)


def account(name: str) -> rbac_pb2.Subject:
    """A service account of kube-system."""
    return rbac_pb2.Subject(kind="ServiceAccount", name=name, namespace=SYSTEM)
