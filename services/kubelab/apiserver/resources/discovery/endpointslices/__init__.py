"""EndpointSlices: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import ENDPOINT_SLICES
from kubelab.apiserver.resources.discovery.endpointslices.printer import row
from kubelab.apiserver.resources.discovery.endpointslices.strategy import EndpointSliceStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(ENDPOINT_SLICES, EndpointSliceStrategy(ENDPOINT_SLICES), row, path="endpointslices")
