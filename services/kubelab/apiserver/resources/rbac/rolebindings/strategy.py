"""Role bindings: who has a role, or a cluster role, in one namespace."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.rbac import subjects
from kubelab.apiserver.strategies import metadata
from kubelab.apiserver.strategies.base import Strategy


class RoleBindingStrategy(Strategy[rbac_pb2.RoleBinding]):
    check_name: metadata.NameCheck = staticmethod(names.path_segment)

    def default(self, obj: rbac_pb2.RoleBinding) -> None:
        subjects.default(obj)

    def validate_content(self, obj: rbac_pb2.RoleBinding) -> list[Cause]:
        return subjects.validate(obj, ("Role", "ClusterRole"), namespaced=True)

    def validate_change(self, obj: rbac_pb2.RoleBinding, old: rbac_pb2.RoleBinding) -> list[Cause]:
        return subjects.validate_change(obj.roleRef, old.roleRef)
