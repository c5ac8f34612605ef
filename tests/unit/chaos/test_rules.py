"""Rules as nft prints them against endpoints as the api-server has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.chaos import rules

WEB = ("10.96.0.7", "tcp", 80)
OUTSIDE = (rules.NODE, "tcp", 30080)


def service(*, ip: str = "10.96.0.7", name: str = "web", node_port: int = 0, policy: str = "") -> core_pb2.Service:
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace = name, "default"
    made.spec.clusterIP = ip
    made.spec.ports.add(port=80, protocol="TCP", nodePort=node_port)
    made.spec.externalTrafficPolicy = policy
    return made


def endpoints(*ips: str, not_ready: tuple[str, ...] = ()) -> core_pb2.Endpoints:
    made = core_pb2.Endpoints()
    made.metadata.name, made.metadata.namespace = "web", "default"
    subset = made.subsets.add()
    for ip in ips:
        subset.addresses.add(ip=ip, nodeName=f"node-{ip.split('.')[2]}")
    for ip in not_ready:
        subset.notReadyAddresses.add(ip=ip)
    subset.ports.add(port=8080)
    return made


def kernel(*entries: dict[str, Any]) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, *entries]})


def vmap(name: str, target: str) -> dict[str, Any]:
    verdict = {"goto": {"target": target}}
    return {"map": {"name": name, "elem": [[{"concat": [WEB[0], WEB[1], WEB[2]]}, verdict]]}}


def node_ports(name: str, target: str) -> dict[str, Any]:
    return {"map": {"name": name, "elem": [[{"concat": ["tcp", 30080]}, {"goto": {"target": target}}]]}}


def rule(chain: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"chain": chain, "expr": list(expressions)}}


def dealt(*targets: tuple[str, int]) -> dict[str, Any]:
    data = {"set": [[n, {"concat": [ip, port]}] for n, (ip, port) in enumerate(targets)]}
    return {"dnat": {"family": "ip", "addr": {"map": {"key": {"numgen": {}}, "data": data}}}}


ONE = kernel(vmap("service-ips", "c"), rule("c", {"dnat": {"addr": "10.244.1.2", "port": 8080}}))
TWO = kernel(vmap("service-ips", "c"), rule("c", {"match": {}}, dealt(("10.244.1.2", 8080), ("10.244.2.2", 8080))))
BY_ANOTHER_CHAIN = kernel(
    vmap("service-ips", "e"),
    rule("e", {"mangle": {}}, {"goto": {"target": "c"}}),
    rule("c", dealt(("10.244.1.2", 8080))),
)
REFUSED = kernel(vmap("no-endpoint-services", "reject-chain"))
NODE_PORT = kernel(
    vmap("service-ips", "c"),
    node_ports("service-nodeports", "e"),
    rule("e", {"mangle": {}}, {"goto": {"target": "c"}}),
    rule("c", dealt(("10.244.1.2", 8080), ("10.244.2.2", 8080))),
)
NODE_PORT_REFUSED = kernel(
    vmap("service-ips", "c"),
    node_ports("no-endpoint-nodeports", "reject-chain"),
    rule("c", dealt(("10.244.1.2", 8080), ("10.244.2.2", 8080))),
)
BOTH = frozenset({("10.244.1.2", 8080), ("10.244.2.2", 8080)})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(kernel(), {}, id="nothing"),
        pytest.param(ONE, {WEB: {("10.244.1.2", 8080)}}, id="one backend"),
        pytest.param(TWO, {WEB: {("10.244.1.2", 8080), ("10.244.2.2", 8080)}}, id="two in turn"),
        pytest.param(BY_ANOTHER_CHAIN, {WEB: {("10.244.1.2", 8080)}}, id="by another chain"),
        pytest.param(REFUSED, {WEB: frozenset[tuple[str, int]]()}, id="refused"),
        pytest.param(NODE_PORT, {WEB: BOTH, OUTSIDE: BOTH}, id="a node port"),
        pytest.param(NODE_PORT_REFUSED, {WEB: BOTH, OUTSIDE: rules.NONE}, id="a node port, refused"),
    ],
)
def test_what_the_kernel_does(document: str, expected: object) -> None:
    assert rules.installed(document) == expected


def test_protocols_may_be_numbers() -> None:
    """As nft prints them on a machine without /etc/protocols."""
    assert rules.installed(ONE.replace('"tcp"', "6")) == rules.installed(ONE)


@pytest.mark.parametrize("text", ["", "{}", '{"nftables": [{"map": {}}]}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not what nft prints|Expecting value"):
        rules.installed(text)


@pytest.mark.parametrize(
    ("document", "found", "expected"),
    [
        pytest.param(TWO, endpoints("10.244.1.2", "10.244.2.2"), [], id="equal"),
        pytest.param(REFUSED, endpoints(not_ready=("10.244.1.2",)), [], id="nobody is ready, connections are refused"),
        pytest.param(TWO, endpoints("10.244.1.2"), ["10.96.0.7:80 still leads to 10.244.2.2:8080"], id="one has gone"),
        pytest.param(
            ONE,
            endpoints("10.244.1.2", "10.244.3.3"),
            ["10.96.0.7:80 does not lead to 10.244.3.3:8080"],
            id="one has come",
        ),
        pytest.param(kernel(), endpoints("10.244.1.2"), ["10.96.0.7:80 is not forwarded"], id="never written"),
    ],
)
def test_differences(document: str, found: core_pb2.Endpoints, expected: list[str]) -> None:
    assert rules.differences(rules.installed(document), rules.expected([service()], [found], "node-1")) == expected


def test_a_service_that_is_gone_must_not_be_forwarded() -> None:
    (told,) = rules.differences(rules.installed(ONE), {})
    assert told == "10.96.0.7:80 is forwarded, but no service has it"


def test_headless_services_are_not_forwarded() -> None:
    assert rules.expected([service(ip="None"), service(ip="")], [endpoints("10.244.1.2")], "node-1") == {}


@pytest.mark.parametrize(
    ("document", "policy", "node", "expected"),
    [
        pytest.param(NODE_PORT, "Cluster", "node-1", [], id="equal"),
        pytest.param(TWO, "Cluster", "node-1", ["node port 30080 is not forwarded"], id="never written"),
        pytest.param(
            NODE_PORT_REFUSED,
            "Cluster",
            "node-1",
            ["node port 30080 does not lead to 10.244.1.2:8080, does not lead to 10.244.2.2:8080"],
            id="refused",
        ),
        pytest.param(
            NODE_PORT, "Local", "node-1", ["node port 30080 still leads to 10.244.2.2:8080"], id="only the node's own"
        ),
        pytest.param(NODE_PORT_REFUSED, "Local", "node-9", [], id="the node has none"),
    ],
)
def test_node_ports(document: str, policy: str, node: str, expected: list[str]) -> None:
    want = rules.expected([service(node_port=30080, policy=policy)], [endpoints("10.244.1.2", "10.244.2.2")], node)
    assert rules.differences(rules.installed(document), want) == expected


def test_short_cuts_for_some_clients_are_passed_over() -> None:
    """What a stranger's connection meets: the rules of the policy Local, and the turns of session affinity."""
    inside = {
        "match": {"left": {"payload": {"protocol": "ip", "field": "saddr"}}, "op": "==", "right": "10.244.0.0/16"}
    }
    here = {"match": {"left": {"fib": {"result": "type", "flags": ["saddr"]}}, "op": "==", "right": "local"}}
    turns = {"vmap": {"key": {"numgen": {}}, "data": {"set": [[0, {"goto": {"target": "e"}}]]}}}
    everywhere = {"goto": {"target": "all"}}
    shown = kernel(
        node_ports("service-nodeports", "c"),
        rule("all", dealt(("10.244.1.2", 8080), ("10.244.2.2", 8080))),
        rule("c", inside, everywhere),
        rule("c", here, everywhere),
        rule("c", turns),
        rule("e", {"set": {"op": "update"}}),
        rule("e", {"dnat": {"addr": "10.244.1.2", "port": 8080}}),
    )
    assert rules.installed(shown) == {OUTSIDE: {("10.244.1.2", 8080)}}
