"""The cells of a row of endpoints, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import NONE, age

MAX_ENDPOINTS = 3


def row(endpoints: core_pb2.Endpoints, now: float) -> list[str]:
    return [
        endpoints.metadata.name,
        endpoints_text(endpoints),
        age(endpoints.metadata.creationTimestamp, now),
    ]


def endpoints_text(endpoints: core_pb2.Endpoints) -> str:
    """``10.244.1.2:8080,10.244.2.2:8080 + 3 more...``; nothing while all addresses are not ready, as upstream."""
    if not endpoints.subsets:
        return NONE
    complaints: list[str] = []
    for subset in endpoints.subsets:
        if subset.ports:
            complaints += [_with_port(a.ip, port.port) for port in subset.ports for a in subset.addresses]
        else:
            complaints += [a.ip for a in subset.addresses]
    shown = ",".join(complaints[:MAX_ENDPOINTS])
    more = len(complaints) - MAX_ENDPOINTS
    return f"{shown} + {more} more..." if more > 0 else shown


def _with_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
