"""Cluster role bindings: who has a cluster role everywhere."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.rbac import subjects
from kubelab.apiserver.strategies import metadata
from kubelab.apiserver.strategies.base import Strategy


class ClusterRoleBindingStrategy(Strategy[rbac_pb2.ClusterRoleBinding]):
    check_name: metadata.NameCheck = staticmethod(names.path_segment)

    def default(self, obj: rbac_pb2.ClusterRoleBinding) -> None:
        subjects.default(obj)

    def validate_content(self, obj: rbac_pb2.ClusterRoleBinding) -> list[Cause]:
        return subjects.validate(obj, ("ClusterRole",), namespaced=False)

    def validate_change(self, obj: rbac_pb2.ClusterRoleBinding, old: rbac_pb2.ClusterRoleBinding) -> list[Cause]:
        return subjects.validate_change(obj.roleRef, old.roleRef)
