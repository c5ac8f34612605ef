"""The cells of a row of namespaces, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import age


def row(namespace: core_pb2.Namespace, now: float) -> list[str]:
    return [namespace.metadata.name, namespace.status.phase, age(namespace.metadata.creationTimestamp, now)]
