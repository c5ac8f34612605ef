"""Roles: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import ROLES
from kubelab.apiserver.resources.rbac.roles.printer import row
from kubelab.apiserver.resources.rbac.roles.strategy import RoleStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(ROLES, RoleStrategy(ROLES), row, path="roles")
