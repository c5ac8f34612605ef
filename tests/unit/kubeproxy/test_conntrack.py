"""Which flows of UDP may be stale after a change."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from kubelab.kubeproxy.conntrack import ANY, to_check
from kubelab.kubeproxy.model import Backend, ServicePort
from kubelab.linux.nftables import Protocol

ONE, TWO = Backend(IPv4Address("10.244.0.2"), 53), Backend(IPv4Address("10.244.0.3"), 53)
DNS, OUTSIDE = IPv4Address("10.96.0.10"), IPv4Address("203.0.113.5")


def dns(*backends: Backend, protocol: Protocol = Protocol.UDP, node_port: int = 0) -> ServicePort:
    return ServicePort("a/dns", protocol, 53, DNS, (OUTSIDE,), node_port, backends, backends)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((), (ONE,), {ONE}),
        ((ONE,), (ONE, TWO), None),
        ((ONE, TWO), (TWO,), {TWO}),
        ((ONE,), (TWO,), {TWO}),
        ((ONE,), (Backend(ONE.ip, 5353),), {Backend(ONE.ip, 5353)}),
        ((ONE,), (), set()),
    ],
    ids=["from none", "one more", "one less", "another", "another port", "to none"],
)
def test_destinations_to_check(before: tuple[Backend, ...], after: tuple[Backend, ...], expected: object) -> None:
    found = to_check([dns(*before)], [dns(*after)])
    assert found == ({} if expected is None else {(ip, 53): expected for ip in (DNS, OUTSIDE)})


def test_node_ports_are_reached_anywhere_and_tcp_needs_no_help() -> None:
    assert to_check([], [dns(ONE, node_port=30053)])[ANY, 30053] == {ONE}
    assert to_check([], [dns(ONE, protocol=Protocol.TCP)]) == {}
    assert set(to_check([dns(ONE)], []).values()) == {frozenset()}, "a service that is gone leads nowhere"
