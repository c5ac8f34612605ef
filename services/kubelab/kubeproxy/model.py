"""The connections that a node should forward, computed from services and endpoints. Pure: objects in, values out.

The terms are those of https://kubernetes.io/docs/reference/networking/virtual-ips/. Every function accepts any object
that can be decoded, also one that kubelab's api-server would refuse: it ignores invalid parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.linux.nftables import Name, Protocol
from kubelab.topology import reservedports

HEADLESS = "None"
DEFAULT_AFFINITY_SECONDS, MAX_AFFINITY_SECONDS = 10_800, 86_400
NODE_ADDRESSES = ("InternalIP", "ExternalIP")
_BROADCAST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """One ready endpoint: where a connection may end up."""

    ip: IPv4Address
    port: int


@dataclass(frozen=True)
class ServicePort:
    """One port of one service as one node forwards it.

    ``internal`` are the backends for the cluster address, ``external`` those for node ports and external addresses:
    they differ only where a traffic policy is ``Local``, and ``everywhere`` are all then. ``affinity`` is for how many
    seconds one client keeps its backend, 0 where it does not. ``created`` is in seconds since the epoch: of two
    services that want the same external address and port, the older one has it.
    """

    name: str  # default/web:http, default/web where the port has no name
    protocol: Protocol
    port: int
    cluster_ip: IPv4Address
    external_ips: tuple[IPv4Address, ...] = ()
    node_port: int = 0
    internal: tuple[Backend, ...] = ()
    external: tuple[Backend, ...] = ()
    everywhere: tuple[Backend, ...] = ()
    keeps_client_address: bool = False  # externalTrafficPolicy: Local
    affinity: int = 0
    created: int = 0

    @cached_property
    def chain(self) -> Name:
        """The name of its chain: readable, and made unique and short enough by a hash."""
        return Name.near(f"service-{self._label}")

    @cached_property
    def external_chain(self) -> Name:
        """The chain of its node ports and external addresses."""
        return Name.near(f"external-{self._label}")

    @cached_property
    def backends(self) -> tuple[Backend, ...]:
        """All backends, those that a traffic policy excludes included."""
        return self.everywhere or tuple(sorted({*self.internal, *self.external}))

    @cached_property
    def everywhere_chain(self) -> Name:
        """The chain of all backends, where a traffic policy gives the other two only some."""
        return self.chain if self.internal == self.backends else Name.near(f"cluster-{self._label}")

    @cached_property
    def local_chain(self) -> Name:
        """The chain of this node's own backends, for what comes from outside."""
        return Name.near(f"local-{self._label}")

    def endpoint_chain(self, backend: Backend) -> Name:
        """The chain of one backend, where clients keep theirs."""
        return Name.near(f"endpoint-{self._digest(backend)}-{backend.ip}/{backend.port}-{self.name.replace(':', '/')}")

    def clients(self, backend: Backend) -> Name:
        """The set of one backend's clients. Another time-out is another set."""
        return Name.near(f"affinity-{self._digest(backend)}-{backend.ip}/{backend.port}-{self.affinity}")

    def _digest(self, backend: Backend) -> str:
        text = f"{self.name}/{self.protocol.value}/{backend.ip}:{backend.port}"
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]

    @property
    def _label(self) -> str:
        digest = hashlib.sha256(f"{self.name}/{self.protocol.value}".encode(errors="replace")).hexdigest()[:8]
        return f"{digest}-{self.name.replace(':', '/')}/{self.protocol.value}"


def service_ports(
    service: core_pb2.Service,
    slices: Sequence[discovery_pb2.EndpointSlice],
    *,
    node: str,
    node_addresses: Set[IPv4Address] = frozenset(),
) -> tuple[ServicePort, ...]:
    """Join a service with its endpoint slices, for one node.

    A service without a cluster address (headless, ExternalName, not allocated yet) is not forwarded, and addresses of
    the other family are left out, as upstream leaves them to the proxier of that family. Backends are in the order of
    their addresses, so that every node deals the same turns and equal input gives equal rules. A port of a node's own
    processes is never led away from one of ``node_addresses``.
    """
    spec = service.spec
    cluster_ip = ipv4(spec.clusterIP)
    if spec.type == "ExternalName" or cluster_ip is None:
        return ()
    key = f"{service.metadata.namespace}/{service.metadata.name}"
    outside = [ip for text in spec.externalIPs if (ip := ipv4(text)) is not None and _is_ordinary(ip)]
    stays_inside = spec.internalTrafficPolicy == "Local"
    stays_outside = spec.externalTrafficPolicy == "Local"
    result: list[ServicePort] = []
    for port in spec.ports:
        protocol = _protocol(port.protocol)
        if protocol is None or not is_port(port.port):
            continue
        everywhere = _backends(slices, port, None)
        here = _backends(slices, port, node) if stays_inside or stays_outside else ()
        own_port = bool(reservedports.owner(port.port, port.protocol))
        result.append(
            ServicePort(
                name=f"{key}:{port.name}" if port.name else key,
                protocol=protocol,
                port=port.port,
                cluster_ip=cluster_ip,
                external_ips=tuple(ip for ip in outside if not (own_port and ip in node_addresses)),
                node_port=port.nodePort if _forwarded_node_port(port) else 0,
                internal=here if stays_inside else everywhere,
                external=here if stays_outside else everywhere,
                everywhere=everywhere,
                keeps_client_address=stays_outside,
                affinity=affinity_seconds(spec),
                created=service.metadata.creationTimestamp.seconds,
            )
        )
    return tuple(result)


def _backends(
    slices: Sequence[discovery_pb2.EndpointSlice], port: core_pb2.ServicePort, node: str | None
) -> tuple[Backend, ...]:
    """Pick the ready endpoints for one service port, by the port's name; with a node, only those that run there. Where
    none is ready, those are taken that are on their way out and still serve
    (https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-to-terminating-endpoints)."""
    key = (port.name, port.protocol or "TCP")
    ready: set[Backend] = set()
    serving: set[Backend] = set()
    for slice_ in slices:
        numbers = [p.port for p in slice_.ports if (p.name, p.protocol or "TCP") == key and is_port(p.port)]
        if not numbers:
            continue
        for endpoint in slice_.endpoints:
            if node is not None and endpoint.nodeName != node:
                continue
            conditions = endpoint.conditions
            if conditions.ready or not conditions.HasField("ready"):
                chosen = ready
            elif conditions.serving and conditions.terminating:
                chosen = serving
            else:
                continue
            ips = (ip for text in endpoint.addresses[:1] if (ip := ipv4(text)) is not None)  # the others are the same
            chosen.update([Backend(ip, number) for ip in ips for number in numbers])
    return tuple(sorted(ready or serving))


def affinity_seconds(spec: core_pb2.ServiceSpec) -> int:
    """For how long a client keeps its backend after its last connection; 0: it does not."""
    if spec.sessionAffinity != "ClientIP":
        return 0
    client_ip = spec.sessionAffinityConfig.clientIP
    seconds = client_ip.timeoutSeconds if client_ip.HasField("timeoutSeconds") else DEFAULT_AFFINITY_SECONDS
    return min(max(seconds, 1), MAX_AFFINITY_SECONDS)


def ipv4(text: str) -> IPv4Address | None:
    """Read an address that the table, which is of the family ``ip``, can hold; None for anything else."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def is_port(number: int) -> bool:
    return 0 < number < 65536


def _protocol(text: str) -> Protocol | None:
    try:
        return Protocol.of(text)
    except ValueError:
        return None


def _is_ordinary(ip: IPv4Address) -> bool:
    """Can this be an address of one machine that others reach?"""
    special = ip.is_unspecified or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip == _BROADCAST
    return not special


def _forwarded_node_port(port: core_pb2.ServicePort) -> bool:
    return is_port(port.nodePort) and not reservedports.owner(port.nodePort, port.protocol)


def node_addresses(node: core_pb2.Node) -> frozenset[IPv4Address]:
    """The addresses at which others reach a node's own processes."""
    addresses = (ipv4(one.address) for one in node.status.addresses if one.type in NODE_ADDRESSES)
    return frozenset(ip for ip in addresses if ip is not None)


def ignored_fields(service: core_pb2.Service, node_addresses: Set[IPv4Address] = frozenset()) -> list[str]:
    """List the fields of a service that kube-proxy ignores, each with the reason."""
    spec = service.spec
    fields: list[str] = []
    if spec.clusterIP not in ("", HEADLESS) and ipv4(spec.clusterIP) is None:
        fields.append(f"{spec.clusterIP}: not an IPv4 address")
    for text in spec.externalIPs:
        ip = ipv4(text)
        if ip is None:
            fields.append(f"{text}: not an IPv4 address")
        elif not _is_ordinary(ip):
            fields.append(f"{text}: not an address of one machine")
        elif ip in node_addresses:
            fields += [
                f"{text}:{port.port}: belongs to the node's own {owner}"
                for port in spec.ports
                if (owner := reservedports.owner(port.port, port.protocol))
            ]
    fields += [
        f"nodePort {port.nodePort}: belongs to every node's {owner}"
        for port in spec.ports
        if port.nodePort and (owner := reservedports.owner(port.nodePort, port.protocol))
    ]
    return fields


def backend_addresses(ports: Iterable[ServicePort]) -> set[IPv4Address]:
    """Every address that some connection may be sent to."""
    return {backend.ip for port in ports for backend in port.backends}
