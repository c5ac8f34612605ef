"""Node ports that are never handed out."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Invalid
from kubelab.apiserver.resources.claims import RangeFull
from kubelab.apiserver.resources.core.services.allocator import ServiceAllocator


def service(node_port: int = 0) -> core_pb2.Service:
    made = core_pb2.Service()
    made.metadata.name = "web"
    made.spec.type, made.spec.clusterIP = "NodePort", "10.96.0.9"
    made.spec.ports.add(port=80, protocol="TCP", nodePort=node_port)
    return made


def test_a_range_that_holds_a_nodes_own_ports_gives_the_others() -> None:
    allocator = ServiceAllocator(IPv4Network("10.96.0.0/16"), range(10256, 10259))  # kube-proxy, controller-manager
    web = service()
    allocator.claim(web, None, set())
    assert web.spec.ports[0].nodePort == 10258
    with pytest.raises(RangeFull):
        allocator.claim(service(), None, {"/registry/ranges/servicenodeports/10258"})


def test_a_nodes_own_port_is_refused_by_name() -> None:
    allocator = ServiceAllocator(IPv4Network("10.96.0.0/16"), range(1024, 32767))
    with pytest.raises(Invalid, match=r"nodePort: Invalid value: 10250: may not be used since it is used by a node's"):
        allocator.claim(service(10250), None, set())
