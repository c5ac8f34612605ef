"""Ingresses: what the api-server knows of them. Nothing acts on them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import INGRESSES
from kubelab.apiserver.resources.networking.ingresses.printer import row
from kubelab.apiserver.resources.networking.ingresses.strategy import IngressStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(INGRESSES, IngressStrategy(INGRESSES), row, path="ingress", subresources={"status": STATUS})
