"""ClusterRoles: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CLUSTER_ROLES
from kubelab.apiserver.resources.rbac.clusterroles.printer import row
from kubelab.apiserver.resources.rbac.clusterroles.strategy import ClusterRoleStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(CLUSTER_ROLES, ClusterRoleStrategy(CLUSTER_ROLES), row, path="clusterroles")
