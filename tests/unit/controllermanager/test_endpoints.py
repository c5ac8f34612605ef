"""The endpoints controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import (
    ENDPOINTS,
    PODS,
    SERVICES,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run


async def test_endpoints_follow_the_ready_pods_and_go_with_the_service(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.service("web"), make.service("manual", selector={}))
    server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
    server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="left-behind")))
    server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))

    def addresses() -> tuple[list[str], list[str]]:
        endpoints = server.get(ENDPOINTS, "default/web")
        subsets = endpoints.subsets if endpoints is not None else []
        return ([a.ip for s in subsets for a in s.addresses], [a.ip for s in subsets for a in s.notReadyAddresses])

    async with running(server, "endpoints"):
        await server.until(lambda: addresses() == (["10.244.0.1"], []))
        await server.until(lambda: server.get(ENDPOINTS, "default/left-behind") is None)
        server.add(make.pod("b", labels={"app": "web"}, ip="10.244.0.2", ready=False, phase="Running"))
        await server.until(lambda: addresses() == (["10.244.0.1"], ["10.244.0.2"]))
        server.remove(PODS, "default/a")
        await server.until(lambda: addresses() == ([], ["10.244.0.2"]))
        server.remove(SERVICES, "default/web")
        await server.until(lambda: server.get(ENDPOINTS, "default/web") is None)
    assert server.get(ENDPOINTS, "default/manual") is not None
    assert not [c for c in server.calls if c.resource == "endpoints" and c.name == "manual"]


async def test_endpoints_are_right_as_soon_as_the_watch_tells_of_their_creation(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.hold_watches(ENDPOINTS)
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))
        await clock.advance(0.5)
        server.release_watches(ENDPOINTS)
        await clock.settle()
    endpoints = server.get(ENDPOINTS, "default/web")
    assert endpoints is not None
    assert [a.ip for a in endpoints.subsets[0].addresses] == ["10.244.0.1"]


async def test_endpoints_that_went_before_they_were_seen_are_made_again(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.hold_watches(ENDPOINTS)
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.remove(ENDPOINTS, "default/web")
        server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))
        await clock.advance(0.5)
        server.compact()
        server.break_watches(errors.Expired("too old resource version"))
        server.release_watches(ENDPOINTS)
        await clock.advance(3)
    assert server.get(ENDPOINTS, "default/web") is not None


async def test_endpoints_without_a_service_are_their_owners_while_somebody_watches(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    mine = core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="mine"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        for n in range(2):
            mine.metadata.labels["n"] = str(n)
            server.add(mine)
            await clock.advance(2)
    assert server.get(ENDPOINTS, "default/mine") is not None


async def test_endpoints_are_not_deleted_because_their_service_is_not_seen_yet(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.hold_watches(SERVICES)
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.add(make.service("manual", selector={}))
        server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
        async with server.client() as client:
            await client.delete(ENDPOINTS, "manual", "default")  # its deletion brings the key
        server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
        await clock.advance(2)
    assert server.get(ENDPOINTS, "default/manual") is not None


async def test_changes_at_once_are_one_write(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        await server.until(lambda: server.get(ENDPOINTS, "default/web") is not None)
        server.add(*(make.pod(f"p{n}", labels={"app": "web"}, ip=f"10.244.0.{n + 1}", ready=True) for n in range(50)))
        await clock.settle()
        await clock.advance(1)
    endpoints = server.get(ENDPOINTS, "default/web")
    assert endpoints is not None
    assert len(endpoints.subsets[0].addresses) == 50
    assert len(server.calls_of("update", ENDPOINTS)) == 1
