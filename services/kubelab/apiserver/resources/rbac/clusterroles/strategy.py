"""Cluster roles: rules for everything, or selectors of the cluster roles whose rules they have."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.rbac import policyrules
from kubelab.apiserver.strategies import causes, labelselectors, metadata
from kubelab.apiserver.strategies.base import Strategy


class ClusterRoleStrategy(Strategy[rbac_pb2.ClusterRole]):
    check_name: metadata.NameCheck = staticmethod(names.path_segment)

    def validate_content(self, obj: rbac_pb2.ClusterRole) -> list[Cause]:
        complaints = policyrules.validate(obj.rules, namespaced=False)
        if not obj.HasField("aggregationRule"):
            return complaints
        field, selectors = "aggregationRule.clusterRoleSelectors", obj.aggregationRule.clusterRoleSelectors
        if not selectors:
            why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            complaints.append(causes.required(field, why))
        for i, selector in enumerate(selectors):
            complaints += labelselectors.validate(selector, f"{field}[{i}]")
        return complaints
