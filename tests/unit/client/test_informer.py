"""The informer: its cache follows the server, and its handlers hear every change once, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import PODS
from kubelab.client.informer import Informer
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock


def pod(name: str, node: str = "", namespace: str = "default", **labels: str) -> core_pb2.Pod:
    return core_pb2.Pod(
        metadata=meta_pb2.ObjectMeta(name=name, namespace=namespace, labels=labels),
        spec=core_pb2.PodSpec(nodeName=node),
    )


@dataclass
class Heard:
    """What a handler was told, in order."""

    news: list[str] = field(default_factory=list[str])

    def listen(self, informer: Informer[core_pb2.Pod]) -> None:
        informer.add_handler(
            on_add=lambda new: self.news.append(f"+{new.metadata.name}"),
            on_update=lambda old, new: self.news.append(f"{old.spec.nodeName}~{new.metadata.name}~{new.spec.nodeName}"),
            on_delete=lambda last: self.news.append(f"-{last.metadata.name}"),
        )

    def take(self) -> list[str]:
        news, self.news = self.news, []
        return news


@contextlib.asynccontextmanager
async def running(informer: Informer[core_pb2.Pod]) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        try:
            await informer.wait_synced()
            yield
        finally:
            task.cancel()
    informer.check_invariants()


def node_name(pod: core_pb2.Pod) -> list[str]:
    return [pod.spec.nodeName]


@pytest.fixture
def server() -> ApiServerInMemory:
    return ApiServerInMemory(clock=FakeClock(auto=True))


async def test_it_lists_in_chunks_then_follows(server: ApiServerInMemory) -> None:
    server.add(*(pod(f"p{n}") for n in range(5)))
    informer = Informer(server.client(), PODS, chunk=2)
    heard = Heard()
    heard.listen(informer)
    async with running(informer):
        assert informer.synced
        assert heard.take() == ["+p0", "+p1", "+p2", "+p3", "+p4"]
        assert len(server.calls_of("list")) == 3
        server.add(pod("p5"), pod("p0", node="node-1"))
        server.remove(PODS, "default/p4")
        await server.until(lambda: len(heard.news) == 3)
        assert heard.take() == ["+p5", "~p0~node-1", "-p4"]
        assert informer.last_sync_resource_version == str(server.revision)


async def test_indexes_follow_the_objects(server: ApiServerInMemory) -> None:
    server.add(pod("a", node="node-1"), pod("b", node="node-2"), pod("c", node="node-1", namespace="other"))
    informer = Informer(server.client(), PODS)
    informer.add_indexers({"node": node_name})
    async with running(informer):
        assert [p.metadata.name for p in informer.by_index("node", "node-1")] == ["a", "c"]
        assert [p.metadata.name for p in informer.list("other")] == ["c"]
        server.add(pod("a", node="node-2"))
        server.remove(PODS, "default/b")
        await server.until(lambda: informer.get("default/b") is None)
        assert [p.metadata.name for p in informer.by_index("node", "node-1")] == ["c"]
        assert [p.metadata.name for p in informer.by_index("node", "node-2")] == ["a"]
        assert informer.by_index("node", "nowhere") == []


async def test_every_reader_declares_its_index(server: ApiServerInMemory) -> None:
    server.add(pod("a", node="node-1"), pod("b"))
    informer = Informer(server.client(), PODS)
    with pytest.raises(LookupError, match="informer of pods: no index 'node'; declared are none"):
        informer.by_index("node", "node-1")
    async with running(informer):
        informer.add_indexers({"node": node_name, "name": lambda p: [p.metadata.name]})  # what is cached is indexed
        informer.add_indexers({"node": node_name})  # another reader of the same
        assert [p.metadata.name for p in informer.by_index("node", "node-1")] == ["a"]
        assert [p.metadata.name for p in informer.by_index("name", "b")] == ["b"]
        with pytest.raises(ValueError, match="index 'node' is declared with another function"):
            informer.add_indexers({"zone": node_name, "node": lambda p: [p.metadata.name]})
        with pytest.raises(LookupError, match="no index 'zone'; declared are name, node"):
            informer.by_index("zone", "")
        informer.check_invariants()


async def test_after_expired_it_lists_again_and_tells_what_was_missed(server: ApiServerInMemory) -> None:
    server.add(pod("stays"), pod("goes"), pod("changes"), pod("reborn"))
    informer = Informer(server.client(), PODS)
    heard = Heard()
    heard.listen(informer)
    async with running(informer):
        heard.take()
        server.down = True
        server.break_watches(errors.Unavailable("gone"))
        await server.until(lambda: server.watching(PODS) == 0)
        server.remove(PODS, "default/goes")
        server.remove(PODS, "default/reborn")
        server.add(pod("reborn"), pod("changes", node="node-1"), pod("comes"))
        server.compact()
        server.down = False
        await server.until(lambda: informer.relists == 2)
        assert sorted(heard.take()) == ["+comes", "+reborn", "-goes", "-reborn", "~changes~node-1"]


async def test_a_revision_that_no_server_comes_to_is_given_up(server: ApiServerInMemory) -> None:
    server.add(pod("stays"), pod("goes"))
    informer = Informer(server.client(), PODS)
    heard = Heard()
    heard.listen(informer)
    async with running(informer):
        await server.until(lambda: server.watching(PODS))
        heard.take()
        told = errors.Cause("", "Too large resource version", "ResourceVersionTooLarge")
        server.fail(errors.Timeout("Too large resource version: 9, current: 1", causes=[told]), verb="watch", times=3)
        server.down = True
        server.break_watches(errors.Unavailable("restored"))
        await server.until(lambda: server.watching(PODS) == 0)
        server.remove(PODS, "default/goes")  # as if etcd had been put back to where it was not there yet
        server.down = False
        await server.until(lambda: informer.relists == 2)
        assert heard.take() == ["-goes"]


async def test_a_server_that_is_behind_for_a_moment_is_waited_for(server: ApiServerInMemory) -> None:
    informer = Informer(server.client(), PODS)
    async with running(informer):
        await server.until(lambda: server.watching(PODS))
        told = errors.Cause("", "Too large resource version", "ResourceVersionTooLarge")
        for _ in range(3):
            opened = len(server.calls_of("watch"))
            server.fail(errors.Timeout("Too large resource version", causes=[told]), verb="watch", times=2)
            server.break_watches(errors.Unavailable("another server"))
            await server.until(lambda opened=opened: len(server.calls_of("watch")) == opened + 3)
            await server.until(lambda: server.watching(PODS))
            server.add(pod("a"))
            await server.until(lambda: informer.last_sync_resource_version == str(server.revision))
        assert informer.relists == 1


async def test_every_watch_is_asked_to_end(server: ApiServerInMemory) -> None:
    async with running(Informer(server.client(), PODS)):
        await server.until(lambda: server.watching(PODS))
    (call,) = server.calls_of("watch")
    assert isinstance(call.request, pb.WatchRequest)
    assert 300 <= call.request.options.timeoutSeconds <= 600


async def test_after_a_broken_connection_it_resumes_where_it_was(server: ApiServerInMemory) -> None:
    server.add(pod("a"))
    informer = Informer(server.client(), PODS)
    heard = Heard()
    heard.listen(informer)
    async with running(informer):
        await server.until(lambda: server.watching(PODS))
        for error in (errors.Unavailable("connection lost"), None):
            opened = len(server.calls_of("watch"))
            server.break_watches(error)
            server.add(pod(f"after-{error}"))
            await server.until(lambda opened=opened: len(server.calls_of("watch")) > opened and server.watching(PODS))
        await server.until(lambda: len(informer) == 3)
        assert informer.relists == 1
        assert heard.take() == ["+a", "+after-connection lost", "+after-None"]


async def test_bookmarks_move_the_revision_of_a_quiet_watch(server: ApiServerInMemory) -> None:
    informer = Informer(server.client(), PODS, namespace="default")
    async with running(informer):
        await server.until(lambda: server.watching(PODS))
        server.add(pod("elsewhere", namespace="other"))
        server.bookmark()
        await server.until(lambda: informer.last_sync_resource_version == str(server.revision))
        assert len(informer) == 0


async def test_it_waits_for_a_server_that_is_not_there_yet(server: ApiServerInMemory) -> None:
    server.add(pod("a"))
    server.fail(errors.Unavailable("refused"), verb="list", times=20)
    informer = Informer(server.client(), PODS)
    before = server.clock.monotonic()
    async with running(informer):
        assert len(informer) == 1
    # doubled from 0.1 s, but never more than 2 s each
    assert 10 < server.clock.monotonic() - before < 2 * 20


async def test_a_late_handler_hears_of_what_is_cached(server: ApiServerInMemory) -> None:
    server.add(pod("a"), pod("b"))
    informer = Informer(server.client(), PODS)
    async with running(informer):
        heard = Heard()
        heard.listen(informer)
        assert heard.take() == ["+a", "+b"]


async def test_a_selector_sees_objects_come_and_go_as_their_labels_change(server: ApiServerInMemory) -> None:
    server.add(pod("a", app="web"), pod("b", app="db"))
    informer = Informer(server.client(), PODS, label_selector="app=web")
    heard = Heard()
    heard.listen(informer)
    async with running(informer):
        await server.until(lambda: server.watching(PODS))
        server.add(pod("a", app="db"), pod("b", app="web"))
        await server.until(lambda: len(heard.news) == 3)
        assert heard.take() == ["+a", "-a", "+b"]


async def test_it_runs_again_after_it_was_cancelled(server: ApiServerInMemory) -> None:
    server.add(pod("a"))
    informer = Informer(server.client(), PODS)
    async with running(informer):
        pass
    server.add(pod("b"))
    async with running(informer):
        await server.until(lambda: len(informer) == 2)
    assert informer.relists == 1
