"""Which ports of the node a pod asks for, and which of two pods gets one."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.linux.nftables import Protocol
from kubelab.runtime.network import hostports
from kubelab.runtime.network.hostports import HostPort
from kubelab.topology.reservedports import RESERVED

POD, OTHER = IPv4Address("10.244.1.5"), IPv4Address("10.244.1.6")
NODE = IPv4Address("192.168.49.2")
TCP, UDP = Protocol.TCP, Protocol.UDP


def test_what_a_pod_asks_for() -> None:
    config = cri.PodSandboxConfig()
    config.port_mappings.add(protocol=cri.TCP, container_port=80, host_port=8080, host_ip="0.0.0.0")
    config.port_mappings.add(protocol=cri.UDP, container_port=53, host_port=53, host_ip="192.168.49.2")
    config.port_mappings.add(protocol=cri.TCP, container_port=443)
    assert hostports.of_pod(config, str(POD)) == (
        HostPort(None, TCP, 8080, POD, 80),
        HostPort(NODE, UDP, 53, POD, 53),
    )


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (HostPort(None, TCP, 80, OTHER, 1), True),
        (HostPort(NODE, TCP, 80, OTHER, 1), True),
        (HostPort(None, UDP, 80, OTHER, 1), False),
        (HostPort(None, TCP, 81, OTHER, 1), False),
    ],
)
def test_a_port_is_one_pods(other: HostPort, meets: bool) -> None:
    mine = HostPort(None, TCP, 80, POD, 1)
    if not meets:
        hostports.check([mine], [other])
        return
    with pytest.raises(hostports.InUse, match=r"host port 80/tcp is in use by the pod with address 10\.244\.1\.6"):
        hostports.check([mine], [other])


def test_the_table_is_written_whole() -> None:
    text = hostports.transaction([HostPort(None, TCP, 8080, POD, 80), HostPort(NODE, UDP, 53, POD, 53)])
    assert text.startswith("add table ip kubelab-hostports\ndelete table ip kubelab-hostports\n")
    assert text.endswith(
        """\
add element ip kubelab-hostports ports { tcp . 8080 : 10.244.1.5 . 80 }
add element ip kubelab-hostports ports-of-address { 192.168.49.2 . udp . 53 : 10.244.1.5 . 53 }
add element ip kubelab-hostports hairpin { 10.244.1.5 . 10.244.1.5 }
"""
    )


@pytest.mark.parametrize(("port", "owner"), sorted(RESERVED.items()))
def test_a_nodes_own_ports_are_no_pods(port: int, owner: str) -> None:
    with pytest.raises(hostports.InUse, match=f"host port {port}/tcp is reserved for the node's {owner}"):
        hostports.check([HostPort(NODE, TCP, port, POD, 80)], [])
    hostports.check([HostPort(None, UDP, port, POD, 80)], [])


def test_the_nodes_own_ports_are_left_alone_before_any_other() -> None:
    leads = [line for line in hostports.transaction([]).splitlines() if " lead " in line]
    assert (
        leads[0] == f"add rule ip kubelab-hostports lead tcp dport {{ {', '.join(map(str, sorted(RESERVED)))} }} return"
    )


HOSTILE = st.one_of(
    st.text(max_size=40).map(lambda text: text.encode(errors="replace").decode()),
    st.sampled_from(
        ["1.2.3.4 }; flush ruleset", "1.2.3.4\nflush ruleset", "0x7f000001", "127.1", "$(id)", '"', "@ports"]
    ),
)


@given(HOSTILE, HOSTILE, *[st.integers(-(2**31), 2**31 - 1)] * 3)
def test_no_text_of_a_pod_becomes_a_part_of_a_rule(
    host_ip: str, pod: str, host_port: int, port: int, protocol: int
) -> None:
    config = cri.PodSandboxConfig()
    config.port_mappings.add(protocol=cri.TCP, container_port=80, host_port=8080, host_ip=host_ip)
    config.port_mappings.add(protocol=protocol, container_port=port, host_port=host_port)  # type: ignore[arg-type]
    base = hostports.transaction([])
    for address in (str(POD), pod):
        try:
            ports = hostports.of_pod(config, address)
        except hostports.NoPort:
            continue
        for line in hostports.transaction(ports).removeprefix(base).splitlines():
            assert line.startswith("add element ip kubelab-hostports ")
            assert not set(line) & set(";\"$'`\\#@"), line


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"host_ip": "1.2.3.4; drop"}, "port_mappings.host_ip: '1.2.3.4; drop': expected an IPv4 address"),
        ({"host_port": 70000}, "port_mappings.host_port: 70000: expected a number from 1 to 65535"),
        ({"container_port": 0}, "port_mappings.container_port: 0: expected a number from 1 to 65535"),
        ({"protocol": 7}, "port_mappings.protocol: 7: expected TCP, UDP or SCTP"),
    ],
)
def test_what_is_no_port_is_refused_by_its_name(mapping: dict[str, str | int], says: str) -> None:
    config = cri.PodSandboxConfig()
    config.port_mappings.add(**{"protocol": cri.TCP, "container_port": 80, "host_port": 8080, **mapping})  # type: ignore[arg-type]
    with pytest.raises(hostports.NoPort) as caught:
        hostports.of_pod(config, str(POD))
    assert str(caught.value) == says
