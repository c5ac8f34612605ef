"""The cells of a row of ingress classes, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apiserver.printers.cells import NONE, age


def row(kind: networking_pb2.IngressClass, now: float) -> list[str]:
    m, parameters = kind.metadata, NONE
    if kind.spec.HasField("parameters"):
        p = kind.spec.parameters
        parameters = f"{p.kind}{f'.{p.apiGroup}' if p.apiGroup else ''}/{p.name}"
    return [m.name, kind.spec.controller, parameters, age(m.creationTimestamp, now)]
