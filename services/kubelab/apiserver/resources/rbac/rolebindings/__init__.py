"""RoleBindings: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import ROLE_BINDINGS
from kubelab.apiserver.resources.rbac.rolebindings.strategy import RoleBindingStrategy
from kubelab.apiserver.resources.rbac.subjects import row
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(ROLE_BINDINGS, RoleBindingStrategy(ROLE_BINDINGS), row, path="rolebindings")
