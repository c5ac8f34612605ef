"""Endpoints: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import ENDPOINTS
from kubelab.apiserver.resources.core.endpoints.printer import row
from kubelab.apiserver.resources.core.endpoints.strategy import EndpointsStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(ENDPOINTS, EndpointsStrategy(ENDPOINTS), row, path="services/endpoints")
