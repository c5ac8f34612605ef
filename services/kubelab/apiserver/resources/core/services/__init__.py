"""Services: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SERVICES
from kubelab.apiserver.resources.core.services.printer import row
from kubelab.apiserver.resources.core.services.strategy import ServiceStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import PROXY, STATUS


def storage(settings: Settings) -> ResourceStorage:
    return ResourceStorage(
        SERVICES,
        ServiceStrategy(SERVICES),
        row,
        path="services/specs",
        allocator=settings.services,
        returns_deleted=True,
        subresources={"status": STATUS, "proxy": PROXY},
    )
