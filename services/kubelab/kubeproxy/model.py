"""What a node should forward, worked out from services and endpoints. Pure: objects in, values out.

The words are those of https://kubernetes.io/docs/reference/networking/virtual-ips/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from kubelab.api.core.v1 import core_pb2

HEADLESS = "None"


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """One ready endpoint: where a connection may end up."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one service as one node forwards it.

    ``internal`` are the backends for the cluster address, ``external`` those for node ports and external addresses:
    they differ only where a traffic policy is ``Local``.
    """

    name: str  # default/web:http, default/web where the port has no name
    protocol: str  # tcp, udp, sctp
    port: int
    cluster_ip: str
    external_ips: tuple[str, ...] = ()
    node_port: int = 0
    internal: tuple[Backend, ...] = ()
    external: tuple[Backend, ...] = ()
    keeps_client_address: bool = False  # externalTrafficPolicy: Local

    @property
    def chain(self) -> str:
        """The name of its chain: readable, and made unique and short enough by a hash."""
        digest = hashlib.sha256(f"{self.name}/{self.protocol}".encode()).hexdigest()[:8]
        return f"service-{digest}-{self.name.replace(':', '/')}/{self.protocol}"[:120]


def service_ports(
    service: core_pb2.Service, endpoints: core_pb2.Endpoints | None, *, node: str
) -> tuple[ServicePort, ...]:
    """Join a service with the endpoints of the same name, for one node.

    A service without a cluster address (headless, ExternalName, not allocated yet) is not forwarded, and addresses of
    the other family are left out, as upstream leaves them to the proxier of that family. Backends are in the order of
    their addresses, so that every node deals the same turns and equal input gives equal rules.
    """
    spec = service.spec
    if spec.type == "ExternalName" or not is_ipv4(spec.clusterIP):
        return ()
    key = f"{service.metadata.namespace}/{service.metadata.name}"
    stays_inside = spec.internalTrafficPolicy == "Local"
    stays_outside = spec.externalTrafficPolicy == "Local"
    result: list[ServicePort] = []
    for port in spec.ports:
        everywhere = _backends(endpoints, port, None)
        here = _backends(endpoints, port, node) if stays_inside or stays_outside else ()
        result.append(
            ServicePort(
                name=f"{key}:{port.name}" if port.name else key,
                protocol=(port.protocol or "TCP").lower(),
                port=port.port,
                cluster_ip=spec.clusterIP,
                external_ips=tuple(ip for ip in spec.externalIPs if is_ipv4(ip)),
                node_port=port.nodePort,
                internal=here if stays_inside else everywhere,
                external=here if stays_outside else everywhere,
                keeps_client_address=stays_outside,
            )
        )
    return tuple(result)


def _backends(
    endpoints: core_pb2.Endpoints | None, port: core_pb2.ServicePort, node: str | None
) -> tuple[Backend, ...]:
    """Pick the ready addresses for one service port, by the port's name; with a node, only those that run there."""
    if endpoints is None:
        return ()
    wanted = (port.name, port.protocol or "TCP")
    found: set[Backend] = set()
    for subset in endpoints.subsets:
        numbers = [p.port for p in subset.ports if (p.name, p.protocol or "TCP") == wanted]
        found.update(
            Backend(address.ip, number)
            for address in subset.addresses
            for number in numbers
            if (node is None or address.nodeName == node) and is_ipv4(address.ip)
        )
    return tuple(sorted(found, key=lambda b: (int(IPv4Address(b.ip)), b.port)))


def is_ipv4(text: str) -> bool:
    """Say whether this is an address that the table, which is of the family ``ip``, can hold."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def left_out(service: core_pb2.Service) -> list[str]:
    """The addresses of a service that are of the other family, so that nothing is forwarded for them."""
    told = [ip for ip in (service.spec.clusterIP, *service.spec.externalIPs) if ip and ip != HEADLESS]
    return [ip for ip in told if not is_ipv4(ip)]


def addresses_behind(ports: Iterable[ServicePort]) -> set[str]:
    """Every address that some connection may be sent to."""
    return {backend.ip for port in ports for backend in (*port.internal, *port.external)}
