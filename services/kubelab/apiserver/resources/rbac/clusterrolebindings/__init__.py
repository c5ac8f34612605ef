"""ClusterRoleBindings: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CLUSTER_ROLE_BINDINGS
from kubelab.apiserver.resources.rbac.clusterrolebindings.strategy import ClusterRoleBindingStrategy
from kubelab.apiserver.resources.rbac.subjects import row
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        CLUSTER_ROLE_BINDINGS, ClusterRoleBindingStrategy(CLUSTER_ROLE_BINDINGS), row, path="clusterrolebindings"
    )
