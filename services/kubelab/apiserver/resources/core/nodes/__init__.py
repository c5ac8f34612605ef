"""Nodes: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import NODES
from kubelab.apiserver.resources.core.nodes.printer import row
from kubelab.apiserver.resources.core.nodes.strategy import NodeStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import PROXY, STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    subresources = {"status": STATUS, "proxy": PROXY}
    return ResourceStorage(NODES, NodeStrategy(NODES), row, path="minions", subresources=subresources)
