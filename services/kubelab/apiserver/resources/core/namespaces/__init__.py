"""Namespaces: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import NAMESPACES
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.namespace import NamespaceStrategy

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        NAMESPACES, NamespaceStrategy(NAMESPACES), rows.namespace_row, protected=frozenset(SYSTEM_NAMESPACES)
    )
