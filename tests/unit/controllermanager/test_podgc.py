"""The pod garbage collector, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.apimachinery.scheme import (
    NODES,
    PODS,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run


async def test_pods_of_a_node_that_is_gone_finally_go(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.node("node-1"), make.node("node-2"))
    server.add(make.pod("leaving", node="node-2", phase="Running", deleting=True), make.pod("p", node="node-2"))
    server.add(make.pod("never-had-one", deleting=True), make.pod("fine", node="node-1"))
    async with running(server, "podgc", clock=clock):
        await clock.settle()
        assert server.get(PODS, "default/never-had-one") is None
        server.remove(NODES, "node-2")
        await clock.advance(30)
        assert len(server.objects(PODS)) == 3
        await clock.advance(20)
    assert [p.metadata.name for p in server.objects(PODS)] == ["fine"]


async def test_a_node_that_comes_back_in_time_keeps_its_pods(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.node("node-1"), make.pod("p", node="node-1"))
    async with running(server, "podgc", clock=clock):
        await clock.settle()
        server.remove(NODES, "node-1")
        await clock.advance(30)
        server.add(make.node("node-1"))
        await clock.advance(100)
    assert len(server.objects(PODS)) == 1
