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
from pathlib import Path

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime import nft

TABLE = "ip kubelab-hostports"
ANY = ("", "0.0.0.0")
_PROTOCOLS = {cri.TCP: "tcp", cri.UDP: "udp", cri.SCTP: "sctp"}
# The node's loopback is routed to pods for the answers' sake: so nothing that comes from a pod may be sent to it.
_BASE = f"""\
add table {TABLE}
delete table {TABLE}
add table {TABLE}
add map {TABLE} ports {{ type inet_proto . inet_service : ipv4_addr . inet_service ; }}
add map {TABLE} ports-of-address {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }}
add set {TABLE} hairpin {{ type ipv4_addr . ipv4_addr ; }}
add chain {TABLE} lead
add rule {TABLE} lead dnat ip to ip daddr . meta l4proto . th dport map @ports-of-address
add rule {TABLE} lead dnat ip to meta l4proto . th dport map @ports
add chain {TABLE} prerouting {{ type nat hook prerouting priority -100 ; }}
add rule {TABLE} prerouting fib daddr type local jump lead
add chain {TABLE} output {{ type nat hook output priority -100 ; }}
add rule {TABLE} output fib daddr type local jump lead
add chain {TABLE} postrouting {{ type nat hook postrouting priority 100 ; }}
add rule {TABLE} postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade
add rule {TABLE} postrouting ct status dnat oifname "kl*" ip saddr 127.0.0.0/8 masquerade
add chain {TABLE} loopback {{ type filter hook prerouting priority -300 ; }}
add rule {TABLE} loopback iifname "kl*" ip daddr 127.0.0.0/8 drop
"""


class InUse(Exception):
    """Another pod has the port."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """``address`` "" is every one of the node's."""

    address: str
    protocol: str
    port: int
    pod: str
    pod_port: int

    def meets(self, other: HostPort) -> bool:
        """Whether both cannot be there."""
        same = (self.protocol, self.port) == (other.protocol, other.port)
        return same and (self.address == other.address or "" in (self.address, other.address))


def of_pod(config: cri.PodSandboxConfig, address: str) -> tuple[HostPort, ...]:
    """What a pod with this address asks for."""
    return tuple(
        HostPort(
            "" if mapping.host_ip in ANY else mapping.host_ip,
            _PROTOCOLS[mapping.protocol],
            mapping.host_port,
            address,
            mapping.container_port,
        )
        for mapping in config.port_mappings
        if mapping.host_port and ":" not in mapping.host_ip  # nodes have no IPv6
    )


def check(wanted: Iterable[HostPort], taken: Iterable[HostPort]) -> None:
    """InUse when a port is another pod's; the scheduler sees to it, but nobody needs to ask the scheduler."""
    others = list(taken)
    for mine in wanted:
        for other in others:
            if mine.meets(other):
                raise InUse(f"host port {mine.port}/{mine.protocol} is in use by the pod with address {other.pod}")


def transaction(ports: Sequence[HostPort]) -> str:
    """All of the table, as nft(8) reads it."""
    lines = [_BASE]
    for one in ports:
        name, key = ("ports-of-address", f"{one.address} . ") if one.address else ("ports", "")
        element = f"{key}{one.protocol} . {one.port} : {one.pod} . {one.pod_port}"
        lines.append(f"add element {TABLE} {name} {{ {element} }}\n")
    lines += [f"add element {TABLE} hairpin {{ {pod} . {pod} }}\n" for pod in sorted({one.pod for one in ports})]
    return "".join(lines)


def write(ports: Mapping[str, Sequence[HostPort]]) -> None:
    """Have these ports and no others: device of the pod → its ports. Raises OSError, with nft's words."""
    for device in ports:
        with contextlib.suppress(OSError):  # /proc/sys may be read-only: then it works from everywhere but loopback
            Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet").write_text("1")
    try:
        nft.apply(transaction([one for of_one in ports.values() for one in of_one]))
    except OSError as err:
        raise OSError(f"hostPort: {err}") from err
