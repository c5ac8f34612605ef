"""Delete the kernel's conntrack entries of UDP flows that lead to a former backend of their service.

A datagram follows the conntrack entry that the first one of its flow made, as long as the flow goes on, even after the
rules have changed. TCP finds out by itself that its peer is gone; UDP never does. So kube-proxy updates the flows after
the rules, as upstream does (pkg/proxy/conntrack): every flow to a service that leads to none of its backends is
deleted, and its next datagram is dealt anew, or refused. That also mends the flow that began when there was no backend
at all, and ends those of a service that is gone.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import Any, cast

from kubelab.kubeproxy.model import Backend, ServicePort
from kubelab.linux.nftables import Protocol

ANY = None  # a node port is reached at every address of the node
Destination = tuple[IPv4Address | None, int]


def destinations(ports: Iterable[ServicePort]) -> dict[Destination, frozenset[Backend]]:
    """Say where the datagrams to each address and port may go. Traffic policies count for new flows only."""
    result: dict[Destination, frozenset[Backend]] = {}
    for port in ports:
        if port.protocol is not Protocol.UDP:
            continue
        backends = frozenset(port.backends)
        result.update(((ip, port.port), backends) for ip in (port.cluster_ip, *port.external_ips))
        if port.node_port:
            result[ANY, port.node_port] = backends
    return result


def to_check(before: Iterable[ServicePort], after: Iterable[ServicePort]) -> dict[Destination, frozenset[Backend]]:
    """Pick the destinations that may have stale flows: those that lost a backend or all, or had none until now.

    A destination that no service has any more leads nowhere: none of its flows may go on.
    """
    old, new = destinations(before), destinations(after)
    changed: dict[Destination, frozenset[Backend]] = {}
    for destination in {**old, **new}:
        previous, backends = old.get(destination, frozenset()), new.get(destination, frozenset())
        if previous - backends or (backends and not previous):
            changed[destination] = backends
    return changed


class Conntrack:
    """The flows of the network namespace of this process. Blocks (netlink): call it off the event loop."""

    def forget_stale(self, expected: Mapping[Destination, frozenset[Backend]]) -> int:
        """Delete the flows to these destinations that lead elsewhere, and say how many there were. Raises OSError."""
        from pyroute2.netlink.exceptions import NetlinkError
        from pyroute2.netlink.nfnetlink import nfctsocket  # an import that only nodes with UDP services need

        netlink, deleted = cast(Any, nfctsocket), 0
        try:
            with netlink.NFCTSocket() as table:
                for (ip, port), backends in expected.items():
                    address = str(ip) if ip else None
                    tuple_filter = netlink.NFCTAttrTuple(daddr=address, proto=socket.IPPROTO_UDP, dport=port)
                    for entry in [*table.dump(tuple_orig=tuple_filter)]:
                        original, reply = (
                            _tuple(netlink, entry, name) for name in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY")
                        )
                        # looked at once more: kernels before 5.8 do not filter
                        matches = (
                            tuple_filter.proto == original.proto
                            and original.dport == port
                            and address in (ANY, original.daddr)
                        )
                        if matches and Backend(IPv4Address(reply.saddr), reply.sport) not in backends:
                            deleted += _delete(table, original)
        except NetlinkError as err:
            raise OSError(err.code, str(err)) from err
        return deleted


def _tuple(netlink: Any, entry: Any, name: str) -> Any:
    return netlink.NFCTAttrTuple.from_netlink(socket.AF_INET, entry.get_attr(name))


def _delete(table: Any, flow: Any) -> int:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        table.entry("del", tuple_orig=flow)
    except NetlinkError as err:
        if err.code != errno.ENOENT:  # it ended by itself meanwhile
            raise
        return 0
    return 1
