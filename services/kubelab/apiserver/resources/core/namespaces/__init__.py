"""Namespaces: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import NAMESPACES
from kubelab.apiserver.resources.core.namespaces import deletion
from kubelab.apiserver.resources.core.namespaces.defaultaccount import DefaultAccount
from kubelab.apiserver.resources.core.namespaces.printer import row
from kubelab.apiserver.resources.core.namespaces.strategy import NamespaceStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS, Subresource

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        NAMESPACES,
        NamespaceStrategy(NAMESPACES),
        row,
        allocator=DefaultAccount(),
        decide_deletion=deletion.decide,
        finished=deletion.finished,
        subresources={"status": STATUS, "finalize": Subresource(("update",), part=deletion.finalize)},
    )
