"""Transactions: a model of nft's table executes them and refuses what nft would refuse."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from kubelab.kubeproxy.model import Backend, ServicePort
from kubelab.kubeproxy.rules import BASE, TABLE, Table, footprint, turns

BACKENDS = st.lists(st.integers(2, 5), unique=True, max_size=3).map(
    lambda hosts: tuple(Backend(f"10.244.0.{h}", 8080) for h in sorted(hosts))
)


class FakeKernel:
    """Chains and elements, with nft's rules: nothing is added twice, referred to before it is there, or deleted while
    something refers to it."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {"reject-chain": []}
        self.elements: dict[tuple[str, str], str] = {}

    def apply(self, transaction: str) -> None:
        for line in transaction.removeprefix(BASE).splitlines():
            action, what, rest = line.split(" ", 2)
            name = rest.removeprefix(f"{TABLE} ")
            match (action, what):
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
        return {text.split("goto ")[1] for text in (*rules, *self.elements.values()) if "goto " in text}


@st.composite
def services(draw: st.DrawFn) -> tuple[ServicePort, ...]:
    number = draw(st.integers(1, 3))
    internal = draw(BACKENDS)
    port = ServicePort(
        name=f"default/s{number}",
        protocol="tcp",
        port=80,
        cluster_ip=f"10.96.0.{number}",
        node_port=draw(st.sampled_from([0, 30000 + number])),
        internal=internal,
        external=draw(st.sampled_from([internal, internal[:1]])),
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
    assert table.transaction(dict(table.ports)) == "", "nothing to do where nothing changed"


def test_turns_are_dealt_one_after_the_other() -> None:
    two = (Backend("10.244.0.2", 80), Backend("10.244.0.3", 80))
    assert turns(two, "tcp") == (
        "meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 10.244.0.2 . 80, 1 : 10.244.0.3 . 80 }"
    )
    assert turns(two[:1], "udp") == "meta l4proto udp dnat to 10.244.0.2:80"


def test_both_ways_in_share_one_round() -> None:
    backends = (Backend("10.244.0.2", 80), Backend("10.244.0.3", 80))
    port = ServicePort("default/web", "tcp", 80, "10.96.0.9", node_port=30080, internal=backends, external=backends)
    chains = footprint(port).chains
    assert sum("numgen" in rule for rules in chains.values() for rule in rules) == 1


def test_a_policy_that_keeps_the_client_address_does_not_masquerade() -> None:
    here = (Backend("10.244.0.2", 80),)
    port = ServicePort(
        "default/web", "tcp", 80, "10.96.0.9", node_port=30080, internal=here, external=here, keeps_client_address=True
    )
    assert not any("mark" in rule for rules in footprint(port).chains.values() for rule in rules)
