"""The node lifecycle and taint eviction controllers, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, taints
from kubelab.apimachinery.scheme import (
    LEASES,
    PODS,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, lease, node_of, pods


def ready_of(server: ApiServerInMemory, name: str) -> str:
    return next(c.status for c in node_of(server, name).status.conditions if c.type == "Ready")


def tainted(server: ApiServerInMemory, name: str) -> list[tuple[str, str]]:
    return [(t.key.rpartition("/")[2], t.effect) for t in node_of(server, name).spec.taints]


async def renew(server: ApiServerInMemory, clock: FakeClock, seconds: int, *names: str) -> None:
    """Let so much time pass in which these nodes renew their leases."""
    for _ in range(seconds // 5):
        for name in names:
            renewed = server.get(LEASES, f"kube-node-lease/{name}") or lease(name, 0)
            renewed.spec.renewTime.seconds += 5
            server.add(renewed)
        await clock.advance(5)


async def test_a_silent_node_is_unknown_tainted_emptied_and_forgiven(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    patient = core_pb2.Toleration(key=taints.UNREACHABLE, operator="Exists", effect="NoExecute", tolerationSeconds=300)
    server.add(make.node("node-1"), make.node("node-2"), lease("node-1", 0), lease("node-2", 0))
    server.add(make.pod("p", node="node-2", phase="Running", ready=True, tolerations=[patient]))
    server.add(make.pod("impatient", node="node-2", phase="Running", ready=True))

    async def seconds(count: int, *names: str) -> None:
        for _ in range(count // 10):
            for name in names:
                renewed = server.get(LEASES, f"kube-node-lease/{name}")
                assert renewed is not None
                renewed.spec.renewTime.seconds += 10
                server.add(renewed)
            await clock.advance(10)

    async with running(server, "nodelifecycle", "tainteviction", clock=clock):
        await clock.settle()
        await seconds(120, "node-1", "node-2")
        assert ready_of(server, "node-2") == "True"
        await seconds(20, "node-1")
        assert ready_of(server, "node-2") == "True"
        await seconds(40, "node-1")
        assert (ready_of(server, "node-1"), ready_of(server, "node-2")) == ("True", "Unknown")
        assert tainted(server, "node-2") == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
        assert tainted(server, "node-1") == []
        p = server.get(PODS, "default/p")
        assert p is not None
        assert [(c.type, c.status) for c in p.status.conditions] == [("Ready", "False")]
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient"]
        await seconds(250, "node-1")
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient"]
        await seconds(60, "node-1")
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient", "p"]
        told = {e.message for e in events(server, "TaintManagerEviction")}
        assert told == {"Marking for deletion Pod default/p", "Marking for deletion Pod default/impatient"}
        back = node_of(server, "node-2")
        back.status.CopyFrom(make.node("node-2").status)
        server.add(back)
        await seconds(10, "node-1", "node-2")
        assert tainted(server, "node-2") == []
    told = {e.message for e in events(server, "NodeNotReady")}
    assert told == {"Node node-2 status is now: NodeNotReady", "Node is not ready"}


async def test_nodes_are_emptied_at_the_configured_rate(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    names = [f"node-{n}" for n in range(5)]
    server.add(*(make.node(name) for name in names))

    def emptied() -> list[str]:
        return [name for name in names if ("unreachable", "NoExecute") in tainted(server, name)]

    async with running(server, "nodelifecycle", clock=clock):  # node-eviction-rate is 0.1: one in ten seconds
        await renew(server, clock, 60, *names)
        await renew(server, clock, 30, *names[2:])
        assert emptied() == []
        while not emptied():
            await renew(server, clock, 5, *names[2:])
        assert len(emptied()) == 1
        await renew(server, clock, 5, *names[2:])
        assert len(emptied()) == 1
        await renew(server, clock, 10, *names[2:])
        assert emptied() == names[:2]


async def test_after_an_outage_a_dead_node_is_told_within_seconds(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(*(make.node(f"node-{n}") for n in range(3)))
    async with running(server, "nodelifecycle", clock=clock):
        await renew(server, clock, 30, "node-0", "node-1", "node-2")
        await renew(server, clock, 30, "node-0", "node-1")
        server.fail(errors.Unavailable("etcd is away"), verb="update", resource="nodes", times=10**6)
        await renew(server, clock, 600, "node-0", "node-1")
        server.heal()
        await renew(server, clock, 10, "node-0", "node-1")
        assert [ready_of(server, f"node-{n}") for n in range(3)] == ["True", "True", "Unknown"]


async def test_where_nobody_is_heard_nobody_is_evicted(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.node("node-1"), make.node("node-2"), make.pod("p", node="node-1", phase="Running", ready=True))
    async with running(server, "nodelifecycle", "tainteviction", clock=clock):
        await clock.settle()
        await clock.advance(100)
        await clock.advance(1000)
    assert tainted(server, "node-1") == [("unreachable", "NoSchedule")]
    assert pods(server, leaving=True) == []


async def test_an_eviction_is_called_off_when_the_node_comes_back(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    patient = core_pb2.Toleration(operator="Exists", effect="NoExecute", tolerationSeconds=300)
    now = int(clock.time())
    server.add(make.node("node-1", taints=[make.taint("k", "NoExecute", added=now)]))
    server.add(make.pod("p", node="node-1", tolerations=[patient]))
    async with running(server, "tainteviction", clock=clock):
        await clock.advance(200)
        server.add(make.node("node-1"))
        await clock.advance(200)
    assert pods(server, leaving=True) == []
    assert [e.message for e in events(server, "TaintManagerEviction")] == ["Cancelling deletion of Pod default/p"]
