"""Services: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SERVICES
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.service import ServiceStrategy


def storage(settings: Settings) -> ResourceStorage:
    return ResourceStorage(
        SERVICES, ServiceStrategy(SERVICES), rows.service_row, path="services/specs", allocator=settings.services
    )
