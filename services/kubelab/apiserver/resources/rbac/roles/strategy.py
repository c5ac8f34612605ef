"""Roles: rules for the resources of one namespace."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.rbac import policyrules
from kubelab.apiserver.strategies import metadata
from kubelab.apiserver.strategies.base import Strategy


class RoleStrategy(Strategy[rbac_pb2.Role]):
    check_name: metadata.NameCheck = staticmethod(names.path_segment)

    def validate_content(self, obj: rbac_pb2.Role) -> list[Cause]:
        return policyrules.validate(obj.rules, namespaced=True)
