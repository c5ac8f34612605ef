"""Endpoints: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import ENDPOINTS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.endpoints import EndpointsStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(ENDPOINTS, EndpointsStrategy(ENDPOINTS), rows.endpoints_row, path="services/endpoints")
