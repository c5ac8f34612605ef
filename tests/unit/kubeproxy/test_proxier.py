"""The loop: what changes at the api-server ends up in transactions, and nothing before its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import Unavailable
from kubelab.apimachinery.scheme import ENDPOINT_SLICES, NODES, SERVICES
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.kubeproxy.conntrack import Conntrack, Destination
from kubelab.kubeproxy.metrics import ProxyMetrics
from kubelab.kubeproxy.model import Backend
from kubelab.kubeproxy.nft import Nft, NftError
from kubelab.kubeproxy.proxier import Proxier
from kubelab.kubeproxy.rules import BASE
from kubelab.linux.nftables import NOTHING, Fragment
from tests.support.apiserver import ApiServerInMemory


@dataclass
class RecordingNft(Nft):
    """Takes transactions, or refuses the next ones."""

    transactions: list[Fragment] = field(default_factory=list[Fragment])
    refuse: int = 0
    broken: Exception | None = None
    """Raised by the next call."""

    async def apply(self, transaction: Fragment) -> None:
        if self.broken is not None:
            broken, self.broken = self.broken, None
            raise broken
        if self.refuse:
            self.refuse -= 1
            raise NftError("Error: No such file or directory")
        self.transactions.append(transaction)

    def holds(self, words: str) -> bool:
        return any(words in transaction for transaction in self.transactions)


@dataclass
class RecordingConntrack(Conntrack):
    """Takes down which flows it should look at."""

    asked: list[Mapping[Destination, frozenset[Backend]]] = field(
        default_factory=list[Mapping[Destination, frozenset[Backend]]]
    )
    broken: bool = False

    def forget_stale(self, expected: Mapping[Destination, frozenset[Backend]]) -> int:
        self.asked.append(expected)
        if self.broken:
            raise OSError("Operation not permitted")
        return 0


@dataclass
class Setup:
    server: ApiServerInMemory
    nft: RecordingNft
    conntrack: RecordingConntrack
    proxier: Proxier


def service(name: str = "web", ip: str = "10.96.0.7") -> core_pb2.Service:
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace = name, "default"
    made.spec.clusterIP = ip
    made.spec.ports.add(port=80, protocol="TCP")
    return made


def endpoints(*ips: str, name: str = "web") -> discovery_pb2.EndpointSlice:
    made = discovery_pb2.EndpointSlice(addressType="IPv4")
    made.metadata.name, made.metadata.namespace = name, "default"
    made.metadata.labels["kubernetes.io/service-name"] = name
    made.ports.add(port=8080, protocol="TCP")
    for ip in ips:
        made.endpoints.add(addresses=[ip])
    return made


@contextlib.asynccontextmanager
async def running(*objects: core_pb2.Service | discovery_pb2.EndpointSlice | core_pb2.Node) -> AsyncGenerator[Setup]:
    server, clock = ApiServerInMemory(), SystemClock()
    server.add(*objects)
    log = structlog.get_logger()
    client = server.client()
    services, slices = Informer(client, SERVICES, clock=clock), Informer(client, ENDPOINT_SLICES, clock=clock)
    nodes = Informer(client, NODES, clock=clock)
    nft, conntrack = RecordingNft(), RecordingConntrack()
    proxier = Proxier(
        services=services,
        slices=slices,
        nodes=nodes,
        queue=WorkQueue(clock=clock),
        nft=nft,
        conntrack=conntrack,
        node="node-1",
        clock=clock,
        log=log,
        metrics=ProxyMetrics.on(CollectorRegistry()),
        min_sync_period=0,
    )
    tasks = [asyncio.ensure_future(run()) for run in (services.run, slices.run, nodes.run, proxier.run)]
    try:
        yield Setup(server, nft, conntrack, proxier)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        proxier.check_invariants()


async def test_the_table_is_made_once_both_caches_are_in() -> None:
    async with running(service(), endpoints("10.244.0.2", "10.244.0.3")) as it:
        await it.proxier.first_sync.wait()
        assert it.nft.transactions[0].startswith(BASE)
        assert it.nft.holds("0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080")


async def test_nothing_is_written_while_one_cache_is_missing() -> None:
    async with running(service()) as it:
        it.server.fail(Unavailable("not now"), verb="list", resource="endpointslices", times=1)
        await it.server.until(lambda: it.server.calls_of("list", ENDPOINT_SLICES))
        await it.proxier.first_sync.wait()
        assert it.server.calls_of("watch", ENDPOINT_SLICES), "both were listed before the first write"
        assert len(it.nft.transactions) == 1


async def test_a_change_writes_the_difference_alone() -> None:
    async with running(service(), endpoints("10.244.0.2"), service("other", "10.96.0.8")) as it:
        await it.proxier.first_sync.wait()
        changed = it.server.get(ENDPOINT_SLICES, "default/web")
        assert changed
        changed.endpoints.add(addresses=["10.244.0.9"])
        await it.server.client().update(changed)
        await it.server.until(lambda: len(it.nft.transactions) == 2)
        assert "10.244.0.9" in it.nft.transactions[1]
        assert "other" not in it.nft.transactions[1]
        assert not it.nft.transactions[1].startswith(BASE)


async def test_a_service_that_goes_takes_its_rules_along() -> None:
    async with running(service(), endpoints("10.244.0.2")) as it:
        await it.proxier.first_sync.wait()
        await it.server.client().delete(SERVICES, "web", "default")
        await it.server.until(lambda: it.nft.holds("delete element ip kube-proxy service-ips { 10.96.0.7 . tcp . 80 }"))


@pytest.mark.parametrize("refusals", [1, 2])
async def test_after_a_refusal_the_whole_table_is_made_anew(refusals: int) -> None:
    async with running(service(), endpoints("10.244.0.2")) as it:
        await it.proxier.first_sync.wait()
        it.nft.refuse = refusals
        it.server.add(service("other", "10.96.0.8"))
        await it.server.until(lambda: len(it.nft.transactions) == 2)
        assert it.nft.transactions[1].startswith(BASE)
        assert "10.96.0.8" in it.nft.transactions[1]


async def test_what_a_pass_that_broke_off_should_have_written_is_written_by_the_next() -> None:
    async with running(service(), endpoints("10.244.0.2")) as it:
        await it.proxier.first_sync.wait()
        it.nft.broken = Unavailable("not now")
        it.server.add(service("other", "10.96.0.8"))
        await it.server.until(lambda: len(it.nft.transactions) == 2)
        assert "10.96.0.8" in it.nft.transactions[1]
        assert not it.nft.transactions[1].startswith(BASE)


async def test_one_service_of_the_other_family_stops_no_other() -> None:
    strange, behind = service("strange", "10.96.0.8"), endpoints("fd00::2", name="strange")
    strange.spec.externalIPs.append("2001:db8::5")
    async with running(service(), endpoints("10.244.0.2"), strange, behind) as it:
        await it.proxier.first_sync.wait()
        assert it.nft.holds("10.244.0.2")
        assert not it.nft.holds("2001:db8::5")
        assert not it.nft.holds("fd00::2")


@pytest.mark.parametrize("broken", [False, True])
async def test_flows_of_udp_are_looked_at_when_their_backends_go(broken: bool) -> None:
    dns, behind = service("dns", "10.96.0.10"), endpoints("10.244.0.2", name="dns")
    dns.spec.ports[0].protocol = behind.ports[0].protocol = "UDP"
    async with running(dns, behind, service(), endpoints("10.244.0.5")) as it:
        await it.proxier.first_sync.wait()
        it.conntrack.broken = broken
        client = it.server.client()
        for ips in (["10.244.0.2", "10.244.0.3"], ["10.244.0.3"], [], ["10.244.0.4"]):
            written = len(it.nft.transactions)
            changed = it.server.get(ENDPOINT_SLICES, "default/dns")
            assert changed
            del changed.endpoints[:]
            if ips:
                changed.endpoints.extend(endpoints(*ips, name="dns").endpoints)
            await client.update(changed)
            await it.server.until(lambda n=written: len(it.nft.transactions) > n)
        await it.server.until(lambda: len(it.conntrack.asked) == 4)
    leads = [{str(b.ip) for b in asked[IPv4Address("10.96.0.10"), 80]} for asked in it.conntrack.asked]
    assert leads == [{"10.244.0.2"}, {"10.244.0.3"}, set(), {"10.244.0.4"}], (
        "at first; one went; all; from none to some"
    )


async def test_a_program_that_cannot_be_started_is_a_refusal(tmp_path: Path) -> None:
    nft = Nft(SystemClock(), program=str(tmp_path / "gone"))
    with pytest.raises(NftError, match="No such file"):
        await nft.apply(NOTHING)


async def test_a_node_that_comes_takes_its_own_ports_back_from_a_service() -> None:
    thief = service("thief", "10.96.0.8")
    thief.spec.externalIPs.append("192.168.49.3")
    thief.spec.ports[0].port = 10250
    element = "ip kube-proxy service-ips { 192.168.49.3 . tcp . 10250"
    async with running(thief, endpoints("10.244.0.2", name="thief")) as it:
        await it.proxier.first_sync.wait()
        assert it.nft.holds(f"add element {element} : "), "nobody knows yet that this is a node's address"
        node = core_pb2.Node()
        node.metadata.name = "node-1"
        node.status.addresses.add(type="InternalIP", address="192.168.49.3")
        it.server.add(node)
        await it.server.until(lambda: it.nft.holds(f"delete element {element} }}"))


async def test_nothing_is_written_before_the_nodes_are_known() -> None:
    thief = service("thief", "10.96.0.8")
    thief.spec.externalIPs.append("192.168.49.3")
    thief.spec.ports[0].port = 10250
    node = core_pb2.Node()
    node.metadata.name = "node-1"
    node.status.addresses.add(type="InternalIP", address="192.168.49.3")
    async with running(thief, endpoints("10.244.0.2", name="thief"), node) as it:
        it.server.fail(Unavailable("not now"), verb="list", resource="nodes", times=1)
        await it.proxier.first_sync.wait()
        assert not it.nft.holds("192.168.49.3")
