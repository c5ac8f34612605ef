"""IngressClasses: what the api-server knows of them. Nothing acts on them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import INGRESS_CLASSES
from kubelab.apiserver.resources.networking.ingressclasses.printer import row
from kubelab.apiserver.resources.networking.ingressclasses.strategy import IngressClassStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(INGRESS_CLASSES, IngressClassStrategy(INGRESS_CLASSES), row, path="ingressclasses")
