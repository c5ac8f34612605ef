"""Pods: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.resources.core.pods.binding import BINDING
from kubelab.apiserver.resources.core.pods.eviction import EVICTION
from kubelab.apiserver.resources.core.pods.printer import row
from kubelab.apiserver.resources.core.pods.strategy import PodStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import CONNECTION, PROXY, STATUS, Subresource

SUBRESOURCES = {
    "status": STATUS,
    "binding": BINDING,
    "eviction": EVICTION,
    "log": Subresource(("get",), streamed=True),
    "exec": CONNECTION,
    "attach": CONNECTION,
    "portforward": CONNECTION,
    "proxy": PROXY,
}


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(PODS, PodStrategy(PODS), row, subresources=SUBRESOURCES, returns_deleted=True)
