"""Namespaces: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import NAMESPACES
from kubelab.apiserver.resources.core.namespaces import deletion
from kubelab.apiserver.resources.core.namespaces.printer import row
from kubelab.apiserver.resources.core.namespaces.strategy import NamespaceStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        NAMESPACES,
        NamespaceStrategy(NAMESPACES),
        row,
        protected=frozenset(SYSTEM_NAMESPACES),
        decide_deletion=deletion.decide,
        finished=deletion.finished,
        parts={"finalize": deletion.finalize},
    )
