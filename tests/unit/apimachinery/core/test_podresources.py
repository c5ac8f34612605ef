"""What pods take of a node, as the scheduler and the kubelet's admission both count it."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core import podresources
from kubelab.apimachinery.core.podresources import HostPort


def test_requests_are_sums_in_thousandths_of_cores_and_whole_units() -> None:
    pod = core_pb2.Pod()
    for cpu, memory in (("0.5", "1Mi"), ("250m", "1")):
        requests = pod.spec.containers.add().resources.requests
        requests["cpu"].string, requests["memory"].string = cpu, memory
    pod.spec.containers.add().resources.requests["example.com/lamp"].string = "2"
    assert podresources.requests(pod) == {"cpu": 750, "memory": 1024 * 1024 + 1, "example.com/lamp": 2}


def test_host_ports_have_an_address_and_a_protocol() -> None:
    pod = core_pb2.Pod()
    container = pod.spec.containers.add()
    container.ports.add(containerPort=80)
    container.ports.add(containerPort=80, hostPort=8080)
    container.ports.add(containerPort=53, hostPort=5353, hostIP="127.0.0.1", protocol="UDP")
    assert podresources.host_ports(pod) == (("0.0.0.0", "TCP", 8080), ("127.0.0.1", "UDP", 5353))


@pytest.mark.parametrize(
    ("taken", "collides"),
    [
        (("0.0.0.0", "TCP", 80), True),
        (("127.0.0.1", "TCP", 80), True),
        (("127.0.0.2", "TCP", 80), False),
        (("127.0.0.1", "UDP", 80), False),
        (("127.0.0.1", "TCP", 81), False),
    ],
)
def test_ports_collide_on_a_common_address(taken: HostPort, collides: bool) -> None:
    assert podresources.port_is_taken(("127.0.0.1", "TCP", 80), [taken]) is collides
    assert podresources.port_is_taken(taken, [("127.0.0.1", "TCP", 80)]) is collides
