"""Services and endpoints in, what a node forwards out."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery.messages import deep_copy
from kubelab.kubeproxy.model import Backend, backend_addresses, ignored_fields, node_addresses, service_ports
from kubelab.kubeproxy.rules import Table
from kubelab.linux.nftables import Protocol, nft
from kubelab.topology.reservedports import RESERVED


def backend(ip: str, port: int) -> Backend:
    return Backend(IPv4Address(ip), port)


def service(**spec: object) -> core_pb2.Service:
    text: dict[str, object] = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }
    return json_format.ParseDict(text, core_pb2.Service())


def endpoints(
    *ips: str, name: str = "", port: int = 8080, nodes: dict[str, str] | None = None, leaving: Sequence[str] = ()
) -> list[discovery_pb2.EndpointSlice]:
    """Slices with an endpoint for each address, two that are not ready, and those that are ``leaving`` and serve."""
    made = discovery_pb2.EndpointSlice(addressType="IPv4")
    made.ports.add(name=name, port=port, protocol="TCP")
    for ip in ips:
        made.endpoints.add(addresses=[ip], nodeName=(nodes or {}).get(ip))
    made.endpoints.add(addresses=["10.244.9.9"]).conditions.ready = False
    gone = made.endpoints.add(addresses=["10.244.9.8"]).conditions
    gone.ready, gone.serving, gone.terminating = False, False, True
    for ip in leaving:
        conditions = made.endpoints.add(addresses=[ip], nodeName=(nodes or {}).get(ip)).conditions
        conditions.ready, conditions.serving, conditions.terminating = False, True, True
    return [made]


def test_ready_addresses_in_the_order_of_their_numbers() -> None:
    (port,) = service_ports(service(), endpoints("10.244.0.10", "10.244.0.9"), node="node-1")
    assert port.internal == (backend("10.244.0.9", 8080), backend("10.244.0.10", 8080))
    assert port.external == port.internal
    assert (port.cluster_ip, port.port, port.protocol) == (IPv4Address("10.96.0.5"), 80, Protocol.TCP)
    assert port.name == "default/web"


def test_ports_are_joined_by_name() -> None:
    both = service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])
    first, second = service_ports(both, endpoints("10.244.0.2", name="b", port=9), node="n")
    assert first.internal == ()
    assert second.internal == (backend("10.244.0.2", 9),)
    assert first.chain != second.chain


def test_what_is_not_forwarded() -> None:
    assert service_ports(service(clusterIP="None"), endpoints("10.244.0.2"), node="n") == ()
    assert service_ports(service(clusterIP=""), endpoints("10.244.0.2"), node="n") == ()
    assert service_ports(service(type="ExternalName"), [], node="n") == ()


def test_addresses_of_the_other_family_are_left_out() -> None:
    both = service(externalIPs=["2001:db8::5", "203.0.113.5"])
    (port,) = service_ports(both, endpoints("fd00::2", "10.244.0.2"), node="n")
    assert port.external_ips == (IPv4Address("203.0.113.5"),)
    assert port.internal == port.external == (backend("10.244.0.2", 8080),)
    assert ignored_fields(both) == ["2001:db8::5: not an IPv4 address"]
    assert service_ports(service(clusterIP="fd00::5"), endpoints("10.244.0.2"), node="n") == ()
    assert ignored_fields(service(clusterIP="fd00::5")) == ["fd00::5: not an IPv4 address"]
    assert ignored_fields(service(clusterIP="None")) == ignored_fields(service(clusterIP="")) == []


def test_without_endpoints_the_port_is_there_to_refuse() -> None:
    (port,) = service_ports(service(), [], node="n")
    assert port.internal == ()


def test_local_traffic_policies_keep_to_this_node() -> None:
    where = {"10.244.0.2": "node-1", "10.244.1.2": "node-2"}
    spread = endpoints(*where, nodes=where)
    (port,) = service_ports(service(externalTrafficPolicy="Local"), spread, node="node-2")
    assert port.internal == (backend("10.244.0.2", 8080), backend("10.244.1.2", 8080))
    assert port.external == (backend("10.244.1.2", 8080),)
    assert port.keeps_client_address
    (port,) = service_ports(service(internalTrafficPolicy="Local"), spread, node="node-1")
    assert port.internal == (backend("10.244.0.2", 8080),)
    assert backend_addresses([port]) == {IPv4Address(ip) for ip in where}


def test_a_chain_name_fits_and_stays_unique() -> None:
    long = service()
    long.metadata.name = "x" * 63
    long.metadata.namespace = "y" * 63
    (port,) = service_ports(long, [], node="n")
    assert len(port.chain) <= 120
    other = deep_copy(long)
    other.metadata.name = "x" * 62 + "z"
    (other_port,) = service_ports(other, [], node="n")
    assert other_port.chain != port.chain


NODE = IPv4Address("192.168.49.3")


@pytest.mark.parametrize(("port", "owner"), sorted(RESERVED.items()))
def test_a_port_of_a_nodes_own_processes_is_not_led_away_from_its_address(port: int, owner: str) -> None:
    outside = service(externalIPs=[str(NODE), "203.0.113.5"], ports=[{"port": port}])
    (found,) = service_ports(outside, endpoints("10.244.0.2"), node="n", node_addresses={NODE})
    assert found.external_ips == (IPv4Address("203.0.113.5"),), "elsewhere it is a port like any other"
    assert ignored_fields(outside, {NODE}) == [f"{NODE}:{port}: belongs to the node's own {owner}"]
    by_node_port = service(type="NodePort", ports=[{"port": 80, "nodePort": port}])
    (found,) = service_ports(by_node_port, endpoints("10.244.0.2"), node="n")
    assert found.node_port == 0
    assert ignored_fields(by_node_port) == [f"nodePort {port}: belongs to every node's {owner}"]


def test_only_tcp_is_reserved() -> None:
    outside = service(externalIPs=[str(NODE)], ports=[{"port": 6443, "protocol": "UDP", "nodePort": 6443}])
    (found,) = service_ports(outside, [], node="n", node_addresses={NODE})
    assert (found.external_ips, found.node_port) == ((NODE,), 6443)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.1.1", "224.0.0.251", "255.255.255.255"])
def test_addresses_that_are_no_machines_are_left_out(ip: str) -> None:
    (found,) = service_ports(service(externalIPs=[ip]), endpoints("10.244.0.2"), node="n")
    assert found.external_ips == ()
    assert ignored_fields(service(externalIPs=[ip])) == [f"{ip}: not an address of one machine"]


def test_a_nodes_addresses_are_those_at_which_others_reach_it() -> None:
    told = [
        ("InternalIP", "192.168.49.3"),
        ("Hostname", "node-1"),
        ("ExternalIP", "x; drop"),
        ("InternalIP", "fd00::1"),
    ]
    node = core_pb2.Node(
        status=core_pb2.NodeStatus(addresses=[core_pb2.NodeAddress(type=kind, address=text) for kind, text in told])
    )
    assert node_addresses(node) == {NODE}


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "10.96.0.5; flush ruleset",
            "10.96.0.5 }\nflush ruleset\nadd element x { 1",
            "0x0a600005",
            "10.96.5",
            "010.96.0.5",
            "$(reboot)",
            'a" ; drop ; "',
            "@service-ips",
            "10.96.0.5/8",
            "\ud800",
        ]
    ),
)
NUMBERS = st.integers(-(2**31), 2**31 - 1)


@st.composite
def hostile_services(draw: st.DrawFn) -> core_pb2.Service:
    def text() -> str:
        return draw(HOSTILE).encode(errors="replace").decode()

    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace = text(), text()
    made.spec.clusterIP = draw(st.sampled_from(["10.96.0.5", text()]))
    made.spec.externalIPs.extend([draw(st.sampled_from(["203.0.113.5", text()])) for _ in range(2)])
    made.spec.type, made.spec.externalTrafficPolicy = text(), text()
    made.spec.ports.add(
        name=text(),
        protocol=draw(st.sampled_from(["TCP", "udp", text()])),
        port=draw(st.sampled_from([80, draw(NUMBERS)])),
        nodePort=draw(st.sampled_from([30080, draw(NUMBERS)])),
    )
    return made


@given(hostile_services(), HOSTILE, NUMBERS)
def test_no_text_of_a_service_becomes_a_part_of_a_rule(made: core_pb2.Service, address: str, number: int) -> None:
    there = discovery_pb2.EndpointSlice(addressType="IPv4")
    port = made.spec.ports[0]
    there.ports.add(name=port.name, port=number, protocol=port.protocol)
    there.ports.add(name=port.name, port=8080, protocol=port.protocol)
    for ip in ("10.244.0.2", address.encode(errors="replace").decode()):
        there.endpoints.add(addresses=[ip])
    ports = service_ports(made, [there], node="n")
    ignored_fields(made)
    script = Table().transaction({"x": ports})
    allowed = ("add chain", "add rule", "add element")
    for line in script.splitlines():
        assert line.startswith(tuple(f"{words} ip kube-proxy " for words in allowed)), line
        assert not set(line) & set(";\"$'`\\#"), line
    assert nft("%", script) == script


def test_what_is_on_its_way_out_serves_where_nothing_else_is_ready() -> None:
    (port,) = service_ports(service(), endpoints("10.244.0.2", leaving=["10.244.0.3"]), node="n")
    assert port.internal == (backend("10.244.0.2", 8080),)
    (port,) = service_ports(service(), endpoints(leaving=["10.244.0.3", "10.244.0.4"]), node="n")
    assert port.internal == (backend("10.244.0.3", 8080), backend("10.244.0.4", 8080))


def test_a_local_policy_falls_back_to_what_leaves_this_node() -> None:
    nodes = {"10.244.0.2": "n1", "10.244.0.3": "n2"}
    there = endpoints("10.244.0.2", nodes=nodes, leaving=["10.244.0.3"])
    (port,) = service_ports(service(externalTrafficPolicy="Local"), there, node="n2")
    assert port.external == (backend("10.244.0.3", 8080),)
    assert port.internal == (backend("10.244.0.2", 8080),)


def test_slices_of_a_service_are_taken_together() -> None:
    both = endpoints("10.244.0.2") + endpoints("10.244.0.3", port=9090)
    (port,) = service_ports(service(), both, node="n")
    assert port.internal == (backend("10.244.0.2", 8080), backend("10.244.0.3", 9090))
