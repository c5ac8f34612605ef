"""The cells of a row of services, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import NONE, UNKNOWN, age, joined, pairs


def row(service: core_pb2.Service, now: float) -> list[str]:
    spec = service.spec
    return [
        service.metadata.name,
        spec.type,
        spec.clusterIPs[0] if spec.clusterIPs else spec.clusterIP or NONE,
        _external_address(service),
        joined(_port(port) for port in spec.ports),
        age(service.metadata.creationTimestamp, now),
        pairs(spec.selector),
    ]


def _external_address(service: core_pb2.Service) -> str:
    spec = service.spec
    match spec.type:
        case "LoadBalancer":
            points = {point.ip or point.hostname for point in service.status.loadBalancer.ingress}
            return ",".join([*sorted(points - {""}), *spec.externalIPs]) or "<pending>"
        case "ExternalName":
            return spec.externalName
        case "ClusterIP" | "NodePort":
            return joined(spec.externalIPs)
        case _:
            return UNKNOWN


def _port(port: core_pb2.ServicePort) -> str:
    return f"{port.port}:{port.nodePort}/{port.protocol}" if port.nodePort else f"{port.port}/{port.protocol}"
