"""Services and endpoints in, what a node forwards out."""

from __future__ import annotations

from google.protobuf import json_format

from kubelab.api.core.v1 import core_pb2
from kubelab.kubeproxy.model import Backend, addresses_behind, left_out, service_ports


def service(**spec: object) -> core_pb2.Service:
    text: dict[str, object] = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 80, "protocol": "TCP"}], **spec},
    }
    return json_format.ParseDict(text, core_pb2.Service())


def endpoints(*ips: str, name: str = "", port: int = 8080, nodes: dict[str, str] | None = None) -> core_pb2.Endpoints:
    return core_pb2.Endpoints(
        subsets=[
            core_pb2.EndpointSubset(
                addresses=[core_pb2.EndpointAddress(ip=ip, nodeName=(nodes or {}).get(ip)) for ip in ips],
                notReadyAddresses=[core_pb2.EndpointAddress(ip="10.244.9.9")],
                ports=[core_pb2.EndpointPort(name=name, port=port, protocol="TCP")],
            )
        ]
    )


def test_ready_addresses_in_the_order_of_their_numbers() -> None:
    (port,) = service_ports(service(), endpoints("10.244.0.10", "10.244.0.9"), node="node-1")
    assert port.internal == (Backend("10.244.0.9", 8080), Backend("10.244.0.10", 8080))
    assert port.external == port.internal
    assert (port.cluster_ip, port.port, port.protocol, port.name) == ("10.96.0.5", 80, "tcp", "default/web")


def test_ports_are_joined_by_name() -> None:
    both = service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])
    first, second = service_ports(both, endpoints("10.244.0.2", name="b", port=9), node="n")
    assert first.internal == ()
    assert second.internal == (Backend("10.244.0.2", 9),)
    assert first.chain != second.chain


def test_what_is_not_forwarded() -> None:
    assert service_ports(service(clusterIP="None"), endpoints("10.244.0.2"), node="n") == ()
    assert service_ports(service(clusterIP=""), endpoints("10.244.0.2"), node="n") == ()
    assert service_ports(service(type="ExternalName"), None, node="n") == ()


def test_addresses_of_the_other_family_are_left_out() -> None:
    both = service(externalIPs=["2001:db8::5", "203.0.113.5"])
    (port,) = service_ports(both, endpoints("fd00::2", "10.244.0.2"), node="n")
    assert port.external_ips == ("203.0.113.5",)
    assert port.internal == port.external == (Backend("10.244.0.2", 8080),)
    assert left_out(both) == ["2001:db8::5"]
    assert service_ports(service(clusterIP="fd00::5"), endpoints("10.244.0.2"), node="n") == ()
    assert left_out(service(clusterIP="fd00::5")) == ["fd00::5"]
    assert left_out(service(clusterIP="None")) == left_out(service(clusterIP="")) == []


def test_without_endpoints_the_port_is_there_to_refuse() -> None:
    (port,) = service_ports(service(), None, node="n")
    assert port.internal == ()


def test_local_traffic_policies_keep_to_this_node() -> None:
    where = {"10.244.0.2": "node-1", "10.244.1.2": "node-2"}
    spread = endpoints(*where, nodes=where)
    (port,) = service_ports(service(externalTrafficPolicy="Local"), spread, node="node-2")
    assert port.internal == (Backend("10.244.0.2", 8080), Backend("10.244.1.2", 8080))
    assert port.external == (Backend("10.244.1.2", 8080),)
    assert port.keeps_client_address
    (port,) = service_ports(service(internalTrafficPolicy="Local"), spread, node="node-1")
    assert port.internal == (Backend("10.244.0.2", 8080),)
    assert addresses_behind([port]) == set(where)


def test_a_chain_name_fits_and_stays_unique() -> None:
    long = service()
    long.metadata.name = "x" * 63
    long.metadata.namespace = "y" * 63
    (port,) = service_ports(long, None, node="n")
    assert len(port.chain) <= 120
    other = core_pb2.Service()
    other.CopyFrom(long)
    other.metadata.name = "x" * 62 + "z"
    (other_port,) = service_ports(other, None, node="n")
    assert other_port.chain != port.chain
