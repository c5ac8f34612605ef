"""Ports of the node that lead to a pod (``hostPort``), in an nftables table of the runtime's own.

::

    prerouting, output ─▶ ports     to an address of this node: DNAT by (protocol, port), or by address too (``hostIP``)
    postrouting ─▶ masquerade       a pod that calls itself by its node's port (hairpin), and calls from the node's
                                    loopback, whose answers would not find back

What is wanted is written whole, in one transaction: there are few such ports, and nothing of before can be left over.
As CNI's portmap does it (https://www.cni.dev/plugins/current/meta/portmap/). Everything here blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.linux.nftables import Fragment, Name, Protocol, joined, lines, nft, replaced
from kubelab.runtime.network.nft import apply
from kubelab.topology import reservedports

TABLE = nft("ip kubelab-hostports")
ANY = ("", "0.0.0.0")
PORTS, PORTS_OF_ADDRESS = Name("ports"), Name("ports-of-address")
_PROTOCOLS: Mapping[int, Protocol] = {cri.TCP: Protocol.TCP, cri.UDP: Protocol.UDP, cri.SCTP: Protocol.SCTP}
# The node's loopback is routed to pods for the answers' sake: so nothing that comes from a pod may be sent to it.
_BASE = joined(
    [
        replaced(TABLE),
        nft(
            """\
add map ip kubelab-hostports ports { type inet_proto . inet_service : ipv4_addr . inet_service ; }
add map ip kubelab-hostports ports-of-address \
{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }
add set ip kubelab-hostports hairpin { type ipv4_addr . ipv4_addr ; }
add chain ip kubelab-hostports lead
add rule ip kubelab-hostports lead tcp dport % return
add rule ip kubelab-hostports lead dnat ip to ip daddr . meta l4proto . th dport map @ports-of-address
add rule ip kubelab-hostports lead dnat ip to meta l4proto . th dport map @ports
add chain ip kubelab-hostports prerouting { type nat hook prerouting priority -100 ; }
add rule ip kubelab-hostports prerouting fib daddr type local jump lead
add chain ip kubelab-hostports output { type nat hook output priority -100 ; }
add rule ip kubelab-hostports output fib daddr type local jump lead
add chain ip kubelab-hostports postrouting { type nat hook postrouting priority 100 ; }
add rule ip kubelab-hostports postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade
add rule ip kubelab-hostports postrouting ct status dnat oifname "kl*" ip saddr 127.0.0.0/8 masquerade
add chain ip kubelab-hostports loopback { type filter hook prerouting priority -300 ; }
add rule ip kubelab-hostports loopback iifname "kl*" ip daddr 127.0.0.0/8 drop
""",
            sorted(reservedports.RESERVED),
        ),
    ],
    "",
)


class InUse(Exception):
    """Another pod, or the node itself, has the port."""


class NoPort(ValueError):
    """A mapping that cannot be: the message names its field and value."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """``address`` None is every one of the node's."""

    address: IPv4Address | None
    protocol: Protocol
    port: int
    pod: IPv4Address
    pod_port: int

    def meets(self, other: HostPort) -> bool:
        """Whether both cannot be there."""
        same = (self.protocol, self.port) == (other.protocol, other.port)
        return same and (self.address == other.address or None in (self.address, other.address))


def of_pod(config: cri.PodSandboxConfig, address: str) -> tuple[HostPort, ...]:
    """What a pod with this address asks for; NoPort for a mapping that makes no sense."""
    return tuple(
        _port(mapping, address)
        for mapping in config.port_mappings
        if mapping.host_port and not _is_ipv6(mapping.host_ip)  # nodes have no IPv6
    )


def _port(mapping: cri.PortMapping, pod: str) -> HostPort:
    protocol = _PROTOCOLS.get(mapping.protocol)
    if protocol is None:
        raise NoPort(f"port_mappings.protocol: {mapping.protocol}: expected TCP, UDP or SCTP")
    for name, number in (("host_port", mapping.host_port), ("container_port", mapping.container_port)):
        if not 0 < number < 65536:
            raise NoPort(f"port_mappings.{name}: {number}: expected a number from 1 to 65535")
    try:
        address = None if mapping.host_ip in ANY else IPv4Address(mapping.host_ip)
        return HostPort(address, protocol, mapping.host_port, IPv4Address(pod), mapping.container_port)
    except AddressValueError as err:
        raise NoPort(f"port_mappings.host_ip: {mapping.host_ip!r}: expected an IPv4 address") from err


def _is_ipv6(text: str) -> bool:
    return ":" in text


def check(requested: Iterable[HostPort], taken: Iterable[HostPort]) -> None:
    """InUse when a port is another pod's or the node's own. The scheduler sees to it, but not every pod comes from
    the scheduler."""
    others = list(taken)
    for mine in requested:
        port = f"host port {mine.port}/{mine.protocol.value}"
        if process := reservedports.owner(mine.port, mine.protocol.value):
            raise InUse(f"{port} is reserved for the node's {process}")
        for other in others:
            if mine.meets(other):
                raise InUse(f"{port} is in use by the pod with address {other.pod}")


def transaction(ports: Sequence[HostPort]) -> Fragment:
    """All of the table, as nft(8) reads it."""
    pods = sorted({one.pod for one in ports})
    hairpins = [nft("add element % hairpin { % . % }", TABLE, pod, pod) for pod in pods]
    return joined([_BASE, lines([*map(_element, ports), *hairpins])], "")


def _element(one: HostPort) -> Fragment:
    leads = nft("% . % : % . %", one.protocol, one.port, one.pod, one.pod_port)
    if one.address is None:
        return nft("add element % % { % }", TABLE, PORTS, leads)
    return nft("add element % % { % . % }", TABLE, PORTS_OF_ADDRESS, one.address, leads)


def write(ports: Mapping[str, Sequence[HostPort]]) -> None:
    """Have these ports and no others: device of the pod → its ports. Raises OSError, with nft's words."""
    for device in ports:
        with contextlib.suppress(OSError):  # /proc/sys may be read-only: then it works from everywhere but loopback
            Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet").write_text("1")
    try:
        apply(transaction([one for of_one in ports.values() for one in of_one]))
    except OSError as err:
        raise OSError(f"hostPort: {err}") from err
