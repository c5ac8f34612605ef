"""Which ports of the node a pod asks for, and which of two pods gets one."""

from __future__ import annotations

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime import hostports
from kubelab.runtime.hostports import HostPort

POD = "10.244.1.5"


def test_what_a_pod_asks_for() -> None:
    config = cri.PodSandboxConfig()
    config.port_mappings.add(protocol=cri.TCP, container_port=80, host_port=8080, host_ip="0.0.0.0")
    config.port_mappings.add(protocol=cri.UDP, container_port=53, host_port=53, host_ip="192.168.49.2")
    config.port_mappings.add(protocol=cri.TCP, container_port=443)
    assert hostports.of_pod(config, POD) == (
        HostPort("", "tcp", 8080, POD, 80),
        HostPort("192.168.49.2", "udp", 53, POD, 53),
    )


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (HostPort("", "tcp", 80, "10.244.1.6", 1), True),
        (HostPort("192.168.49.2", "tcp", 80, "10.244.1.6", 1), True),
        (HostPort("", "udp", 80, "10.244.1.6", 1), False),
        (HostPort("", "tcp", 81, "10.244.1.6", 1), False),
    ],
)
def test_a_port_is_one_pods(other: HostPort, meets: bool) -> None:
    mine = HostPort("", "tcp", 80, POD, 1)
    if not meets:
        hostports.check([mine], [other])
        return
    with pytest.raises(hostports.InUse, match=r"host port 80/tcp is in use by the pod with address 10\.244\.1\.6"):
        hostports.check([mine], [other])


def test_the_table_is_written_whole() -> None:
    text = hostports.transaction([HostPort("", "tcp", 8080, POD, 80), HostPort("192.168.49.2", "udp", 53, POD, 53)])
    assert text.startswith("add table ip kubelab-hostports\ndelete table ip kubelab-hostports\n")
    assert text.endswith(
        """\
add element ip kubelab-hostports ports { tcp . 8080 : 10.244.1.5 . 80 }
add element ip kubelab-hostports ports-of-address { 192.168.49.2 . udp . 53 : 10.244.1.5 . 53 }
add element ip kubelab-hostports hairpin { 10.244.1.5 . 10.244.1.5 }
"""
    )
