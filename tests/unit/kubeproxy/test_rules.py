"""Transactions: a model of nft's table executes them and refuses what nft would refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from kubelab.kubeproxy.model import Backend, ServicePort
from kubelab.kubeproxy.rules import BASE, TABLE, Table, port_rules, round_robin
from kubelab.linux.nftables import Fragment, Name, Protocol
from kubelab.topology.reservedports import RESERVED

TCP, UDP = Protocol.TCP, Protocol.UDP
VIP = IPv4Address("10.96.0.9")


def backend(ip: str, port: int) -> Backend:
    return Backend(IPv4Address(ip), port)


BACKENDS = st.lists(st.integers(2, 5), unique=True, max_size=3).map(
    lambda hosts: tuple(backend(f"10.244.0.{h}", 8080) for h in sorted(hosts))
)


class FakeKernel:
    """Chains and elements, with nft's rules: nothing is added twice, referred to before it is there, or deleted while
    something refers to it."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {"reject-chain": []}
        self.elements: dict[tuple[str, str], str] = {}
        self.sets: dict[str, str] = {}

    def apply(self, transaction: str) -> None:
        for line in transaction.removeprefix(BASE).splitlines():
            action, what, rest = line.split(" ", 2)
            name = rest.removeprefix(f"{TABLE} ")
            match (action, what):
                case ("add", "set"):
                    of_set, described = name.split(" ", 1)
                    assert of_set not in self.sets, line
                    self.sets[of_set] = described
                case ("delete", "set"):
                    assert name not in self.referred_sets(), line
                    del self.sets[name]
                case ("add", "chain"):
                    assert name not in self.chains, line
                    self.chains[name] = []
                case ("flush", "chain"):
                    self.chains[name].clear()
                case ("delete", "chain"):
                    assert not self.chains[name], line
                    assert name not in self.referred(), line
                    del self.chains[name]
                case ("add", "rule"):
                    chain, rule = name.split(" ", 1)
                    self.chains[chain].append(rule)
                    assert self.referred() <= self.chains.keys(), line
                    assert self.referred_sets() <= self.sets.keys(), line
                case ("add", "element"):
                    of_map, element = name.split(" ", 1)
                    key, _, verdict = element.strip("{} ").partition(" : ")
                    assert (of_map, key) not in self.elements, line
                    self.elements[of_map, key] = verdict
                    assert self.referred() <= self.chains.keys(), line
                case ("delete", "element"):
                    of_map, element = name.split(" ", 1)
                    del self.elements[of_map, element.strip("{} ")]
                case _:
                    raise AssertionError(line)

    def referred(self) -> set[str]:
        rules = [rule for rules in self.chains.values() for rule in rules]
        return {found for text in (*rules, *self.elements.values()) for found in re.findall(r"goto ([^\s,}]+)", text)}

    def referred_sets(self) -> set[str]:
        return {found for rules in self.chains.values() for rule in rules for found in re.findall(r"@(\S+)", rule)}


WANTED = [IPv4Address("203.0.113.5"), IPv4Address("10.96.0.1"), IPv4Address("10.96.0.2")]


@st.composite
def services(draw: st.DrawFn) -> tuple[ServicePort, ...]:
    number = draw(st.integers(1, 3))
    internal = draw(BACKENDS)
    port = ServicePort(
        name=f"default/s{number}",
        protocol=TCP,
        port=80,
        cluster_ip=IPv4Address(f"10.96.0.{number}"),
        external_ips=draw(st.lists(st.sampled_from(WANTED), unique=True, max_size=2).map(tuple)),
        created=draw(st.integers(0, 2)),
        node_port=draw(st.sampled_from([0, 30000 + number])),
        internal=internal,
        external=draw(st.sampled_from([internal, internal[:1]])),
        everywhere=internal,
        keeps_client_address=draw(st.booleans()),
        affinity=draw(st.sampled_from([0, 0, 60, 120])),
    )
    return (port,) if draw(st.booleans()) else ()


@given(st.lists(st.dictionaries(st.sampled_from(["s1", "s2", "s3"]), services(), max_size=3), max_size=8))
def test_any_history_ends_where_a_fresh_table_would_begin(history: list[Mapping[str, tuple[ServicePort, ...]]]) -> None:
    kernel, table = FakeKernel(), Table()
    for step in history:
        # two keys never hold the same service at one time: the api-server gives a name to one object
        changes = {key: tuple(p for p in ports if p.name.endswith(key[1])) for key, ports in step.items()}
        kernel.apply(table.transaction(changes))
        table.commit(changes)
        table.check_invariants()
    fresh = FakeKernel()
    fresh.apply(Table().transaction(table.ports))
    assert kernel.chains == fresh.chains
    assert kernel.elements == fresh.elements
    assert kernel.sets == fresh.sets
    leading = {at: verdict for at, verdict in kernel.elements.items() if at[0] != "hairpin-connections"}
    assert leading == {
        (of_map, key): verdict for key, claims in table.claims.items() for *_, of_map, verdict in [min(claims)]
    }
    assert table.transaction(dict(table.ports)) == "", "nothing to do where nothing changed"


def test_turns_are_dealt_one_after_the_other() -> None:
    two = (backend("10.244.0.2", 80), backend("10.244.0.3", 80))
    assert round_robin(two, TCP) == (
        "meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 10.244.0.2 . 80, 1 : 10.244.0.3 . 80 }"
    )
    assert round_robin(two[:1], UDP) == "meta l4proto udp dnat to 10.244.0.2:80"


def test_both_ways_in_share_one_round() -> None:
    backends = (backend("10.244.0.2", 80), backend("10.244.0.3", 80))
    port = ServicePort("default/web", TCP, 80, VIP, node_port=30080, internal=backends, external=backends)
    chains = port_rules(port).chains
    assert sum("numgen" in rule for rules in chains.values() for rule in rules) == 1


def test_a_policy_that_keeps_the_client_address_does_not_masquerade() -> None:
    here = (backend("10.244.0.2", 80),)
    port = ServicePort(
        "default/web", TCP, 80, VIP, node_port=30080, internal=here, external=here, keeps_client_address=True
    )
    *short_cuts, last = port_rules(port).chains[port.external_chain]
    assert last == f"goto {port.chain}"
    assert [rule.split(" goto")[0] for rule in short_cuts] == [
        "ip saddr 10.244.0.0/16",
        "fib saddr type local meta mark set meta mark | 16384",
    ], "who is inside already may be sent anywhere"


def test_with_no_backend_here_what_comes_from_outside_is_dropped() -> None:
    everywhere = (backend("10.244.1.2", 80),)
    port = ServicePort(
        "default/web",
        TCP,
        80,
        VIP,
        node_port=30080,
        internal=everywhere,
        everywhere=everywhere,
        keeps_client_address=True,
    )
    assert port_rules(port).chains[port.external_chain][-1] == "drop"


def test_a_client_keeps_its_backend_and_new_ones_come_in_turn() -> None:
    backends = (backend("10.244.0.2", 80), backend("10.244.0.3", 80))
    port = ServicePort("default/web", TCP, 80, VIP, internal=backends, external=backends, affinity=30)
    found = port_rules(port)
    assert set(found.sets.values()) == {30}
    first, second = map(port.endpoint_chain, backends)
    one, two = map(port.clients, backends)
    assert found.chains[port.chain] == (
        f"ip saddr @{one} goto {first}",
        f"ip saddr @{two} goto {second}",
        f"numgen inc mod 2 vmap {{ 0 : goto {first}, 1 : goto {second} }}",
    )
    assert found.chains[second] == (f"update @{two} {{ ip saddr }}", "meta l4proto tcp dnat to 10.244.0.3:80")


def service(name: str, ip: str, *external: str, created: int = 0, port: int = 443) -> ServicePort:
    backends = (backend(f"10.244.{ip.rpartition('.')[2]}.2", 8443),)
    wanted = tuple(map(IPv4Address, external))
    return ServicePort(
        f"default/{name}", TCP, port, IPv4Address(ip), wanted, internal=backends, external=backends, created=created
    )


def test_an_external_address_never_takes_a_cluster_address_and_the_older_service_keeps_its_own() -> None:
    kernel, table = FakeKernel(), Table()
    steps = [
        {"a": (service("a", "10.96.0.8", "10.96.0.1", "203.0.113.5", created=1),)},
        {"kubernetes": (service("kubernetes", "10.96.0.1", created=9),)},
        {"b": (service("b", "10.96.0.9", "203.0.113.5", "10.96.0.1", created=2),)},
    ]
    for step in steps:
        kernel.apply(table.transaction(step))
        table.commit(step)
    leads = {key: verdict for (_, key), verdict in kernel.elements.items()}
    assert leads["10.96.0.1 . tcp . 443"] == f"goto {steps[1]['kubernetes'][0].chain}"
    assert leads["203.0.113.5 . tcp . 443"] == f"goto {steps[0]['a'][0].external_chain}"

    kernel.apply(table.transaction({"a": ()}))
    table.commit({"a": ()})
    leads = {key: verdict for (_, key), verdict in kernel.elements.items()}
    assert leads["203.0.113.5 . tcp . 443"] == f"goto {steps[2]['b'][0].external_chain}", "the next in line"
    table.check_invariants()


def test_an_owner_without_endpoints_refuses_though_another_one_has_some() -> None:
    kernel, table = FakeKernel(), Table()
    mine, other = service("a", "10.96.0.8", "203.0.113.5"), service("b", "10.96.0.9", "203.0.113.5", created=5)
    step = {"a": (replace(mine, internal=(), external=()),), "b": (other,)}
    kernel.apply(table.transaction(step))
    assert kernel.elements[Name("no-endpoint-services"), Fragment("203.0.113.5 . tcp . 443")] == "goto reject-chain"
    assert ("service-ips", "203.0.113.5 . tcp . 443") not in kernel.elements


def test_a_nodes_own_ports_are_left_alone_before_any_service_is_looked_up() -> None:
    ports = f"{{ {', '.join(map(str, sorted(RESERVED)))} }}"
    assert f"add element {TABLE} reserved-ports {ports}\n" in BASE
    lines = BASE.splitlines()
    for chain in ("services", "no-endpoints"):
        (first, *_) = [line for line in lines if line.startswith(f"add rule {TABLE} {chain} ")]
        assert first.endswith(f"{chain} tcp dport @reserved-ports fib daddr type local return")
