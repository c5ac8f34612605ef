"""ResourceQuotas: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import RESOURCE_QUOTAS
from kubelab.apiserver.resources.core.resourcequotas.printer import row
from kubelab.apiserver.resources.core.resourcequotas.strategy import ResourceQuotaStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        RESOURCE_QUOTAS,
        ResourceQuotaStrategy(RESOURCE_QUOTAS),
        row,
        returns_deleted=True,
        subresources={"status": STATUS},
    )
