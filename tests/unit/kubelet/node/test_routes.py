"""Routes to other nodes' pods: which Nodes are believed, and that one bad Node or route breaks no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import CapturingLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.node.podnetworks import Layout, routes, said
from kubelab.kubelet.node.routes import Router, difference
from tests.support.clock import FakeClock
from tests.support.polling import until_true

LAYOUT = Layout(IPv4Network("10.244.0.0/16"), 24, IPv4Network("192.168.49.0/24"))
OWN = "192.168.49.3"


def node(name: str, ip: str, *cidrs: str, made: int = 0) -> core_pb2.Node:
    found = core_pb2.Node()
    found.metadata.name, found.metadata.creationTimestamp.seconds = name, made
    found.spec.podCIDRs.extend(cidrs)
    found.spec.podCIDR = cidrs[0] if cidrs else ""
    if ip:
        found.status.addresses.add(type="InternalIP", address=ip)
    return found


SELF = node("node-1", OWN, "10.244.1.0/24", made=5)
GOOD = node("node-2", "192.168.49.4", "10.244.2.0/24", made=5)
GOOD_ROUTE = {"10.244.2.0/24": "192.168.49.4"}


def test_routes_lead_to_every_other_node_that_has_both_addresses() -> None:
    found = routes(
        [SELF, GOOD, node("node-3", "", "10.244.3.0/24"), node("node-4", "192.168.49.6")], "node-1", OWN, LAYOUT
    )
    assert (found.via, found.refused) == (GOOD_ROUTE, {})


@pytest.mark.parametrize(
    ("ip", "cidrs", "made", "told"),
    [
        ("192.168.49.9", ("10.244.1.0/24",), 0, "podCIDR 10.244.1.0/24 is of node-1"),  # ours, though it is older
        ("192.168.49.9", ("10.244.2.0/24",), 9, "podCIDR 10.244.2.0/24 is of node-2"),
        ("192.168.49.9", ("10.244.0.0/16",), 0, "podCIDR 10.244.0.0/16 is no /24 of 10.244.0.0/16"),
        ("192.168.49.9", ("10.244.2.0/25",), 0, "podCIDR 10.244.2.0/25 is no /24 of 10.244.0.0/16"),
        ("192.168.49.9", ("10.96.0.0/24",), 0, "podCIDR 10.96.0.0/24 is no /24 of 10.244.0.0/16"),
        ("192.168.49.9", ("0.0.0.0/0",), 0, "podCIDR 0.0.0.0/0 is no /24 of 10.244.0.0/16"),
        ("192.168.49.9", ("10.244.9.7/24",), 0, "podCIDR '10.244.9.7/24' is no network"),
        ("192.168.49.9", ("fd00::/64",), 0, "podCIDR 'fd00::/64' is no network"),
        ("192.168.49.9", ("word",), 0, "podCIDR 'word' is no network"),
        ("192.168.49.9", ("10.244.9.0/24", "10.244.8.0/24"), 0, "it has 2 podCIDRs, expected one"),
        ("word", ("10.244.9.0/24",), 0, "InternalIP 'word' is no address"),
        ("fd00::1", ("10.244.9.0/24",), 0, "InternalIP 'fd00::1' is no address"),
        ("127.0.0.1", ("10.244.9.0/24",), 0, "InternalIP 127.0.0.1 is no node's address in 192.168.49.0/24"),
        ("172.31.0.1", ("10.244.9.0/24",), 0, "InternalIP 172.31.0.1 is no node's address in 192.168.49.0/24"),
        ("192.168.49.255", ("10.244.9.0/24",), 0, "InternalIP 192.168.49.255 is no node's address in 192.168.49.0/24"),
        ("192.168.49.3", ("10.244.9.0/24",), 0, "InternalIP 192.168.49.3 is of node-1"),
        ("192.168.49.4", ("10.244.9.0/24",), 9, "InternalIP 192.168.49.4 is of node-2"),
    ],
)
def test_a_node_that_says_what_cannot_be_gets_no_route(ip: str, cidrs: tuple[str, ...], made: int, told: str) -> None:
    bad = node("bad", ip, *cidrs, made=made)
    for order in ([SELF, GOOD, bad], [bad, GOOD, SELF]):
        found = routes(order, "node-1", OWN, LAYOUT)
        assert (found.via, found.refused) == (GOOD_ROUTE, {"bad": told})


WORDS = st.one_of(st.sampled_from(["", OWN, "192.168.49.4", "10.244.1.0/24", "10.244.2.0/24"]), st.text(max_size=20))


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3), st.integers(0, 2**33)), max_size=5))
def test_whatever_nodes_say_this_node_and_the_oldest_keep_what_is_theirs(
    others: list[tuple[str, list[str], int]],
) -> None:
    made = [node(f"x-{n}", ip, *cidrs, made=when) for n, (ip, cidrs, when) in enumerate(others)]
    oldest = node("oldest", "192.168.49.4", "10.244.2.0/24", made=-1)
    found = routes([*made, oldest, SELF], "node-1", OWN, LAYOUT)
    assert found.via["10.244.2.0/24"] == "192.168.49.4"
    assert "10.244.1.0/24" not in found.via
    assert OWN not in found.via.values()
    assert len(set(found.via.values())) == len(found.via)
    for each in made:
        said(each)


def test_only_the_difference_is_written() -> None:
    change = difference({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
    assert (change.set, change.delete) == ({"a": "1", "b": "2"}, ("c",))


# --- the loop


class Nodes:
    """Stands for the informer: its list, and handlers that a test calls."""

    def __init__(self, *nodes: core_pb2.Node) -> None:
        self.items = list(nodes)
        self.changed: Callable[[core_pb2.Node], object] = lambda _: None

    def add_handler(self, *, on_add: Any, on_update: Any, on_delete: Any) -> None:
        del on_update, on_delete
        self.changed = on_add

    def list(self) -> list[core_pb2.Node]:
        return self.items

    async def wait_synced(self) -> None:
        return None


class Table:
    """A kernel that refuses some destinations."""

    def __init__(self, **routes: str) -> None:
        self.routes, self.refuses = dict(routes), set[str]()

    def read(self) -> dict[str, str]:
        return dict(self.routes)

    def replace(self, destination: str, gateway: str) -> None:
        if destination in self.refuses:
            raise OSError(101, "Network is unreachable")
        self.routes[destination] = gateway

    def delete(self, destination: str) -> None:
        if destination in self.refuses:
            raise OSError(1, "Operation not permitted")
        del self.routes[destination]

    def network_of(self, address: str) -> str:
        return "192.168.49.0/24" if address == OWN else ""


async def test_a_route_that_the_kernel_refuses_holds_up_no_other_and_is_tried_again() -> None:
    third, bad = node("node-3", "192.168.49.5", "10.244.3.0/24"), node("bad", "word", "word")
    informer: Any = Nodes(SELF, GOOD, third, bad)
    log: Any = CapturingLogger()
    table = Table(**{"10.244.8.0/24": "192.168.49.8", "10.244.9.0/24": "192.168.49.9"})
    table.refuses = {"10.244.2.0/24", "10.244.8.0/24"}
    router = Router(
        informer,
        "node-1",
        OWN,
        table,
        pods=LAYOUT.pods,
        mask=24,
        node_network="",
        clock=FakeClock(auto=True),
        log=log,
        metrics=KubeletMetrics.on(CollectorRegistry()),
    )
    task = asyncio.create_task(router.run())
    try:
        held = {"10.244.3.0/24": "192.168.49.5", "10.244.8.0/24": "192.168.49.8"}
        await until_true(lambda: table.routes == held, within=10)
        table.refuses = set()
        await until_true(lambda: table.routes == {**GOOD_ROUTE, "10.244.3.0/24": "192.168.49.5"}, within=10)
    finally:
        task.cancel()
    told = [call for call in log.calls if call.args == ("no route to a node",)]
    assert [call.kwargs for call in told] == [{"node": "bad", "reason": "podCIDR 'word' is no network"}]
