"""The cells of a row of configmaps, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import age


def row(config_map: core_pb2.ConfigMap, now: float) -> list[str]:
    keys = len(config_map.data) + len(config_map.binaryData)
    return [config_map.metadata.name, str(keys), age(config_map.metadata.creationTimestamp, now)]
