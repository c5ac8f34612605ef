"""Nodes: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import NODES
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.node import NodeStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(NODES, NodeStrategy(NODES), rows.node_row, path="minions")
