"""The feed on a store in memory: what it does when etcd is away, and what its caches remember."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver import cache as caching
from kubelab.apiserver import contact
from kubelab.apiserver.cache import BOOKMARK, Selection, Watcher
from kubelab.apiserver.feed import CATCH_UP, Feed
from kubelab.apiserver.kinds import make_caches
from kubelab.apiserver.printers.rows import row
from kubelab.apiserver.reads import Reads
from kubelab.apiserver.storage.store import Put
from kubelab.apiserver.strategies.registry import strategies
from kubelab.apiserver.tables import Tables
from kubelab.testing.clock import FakeClock
from tests.unit.apiserver.memorystore import MemoryStore


@dataclass
class Server:
    """What an api-server reads with."""

    clock: FakeClock
    store: MemoryStore
    feed: Feed
    reads: Reads
    caches: dict[str, Any]

    @classmethod
    def make(cls) -> Server:
        clock = FakeClock()
        store = MemoryStore(clock)
        caches = make_caches(strategies())
        feed = Feed(store, list(caches.values()), clock)
        return cls(clock, store, feed, Reads(store, feed, caches, Tables(row, clock), clock), caches)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.feed.run())
            await self.feed.synced.wait()
            await self.clock.settle()
            yield
            task.cancel()
        for one in self.caches.values():
            one.check_invariants()

    async def write(self, name: str, size: int = 1) -> int:
        obj = core_pb2.ConfigMap(data={"a": "x" * size})
        obj.metadata.name, obj.metadata.namespace = name, "default"
        cache = self.caches["configmaps"]
        sealed = cache.kind.envelope.seal(obj.SerializeToString())
        return (await self.store.transact([], [Put(cache.key("default", name), sealed)])).revision

    def lose_etcd(self, *calls: str) -> None:
        def fail(call: str) -> None:
            if not calls or call in calls:
                raise errors.Unavailable("etcd is away")

        self.store.fail = fail
        self.store.disturb()

    def find_etcd(self) -> None:
        self.store.fail = lambda call: None

    def watch(self, revision: int) -> Any:
        options = meta_pb2.ListOptions(resourceVersion=str(revision), allowWatchBookmarks=True)
        return self.reads.watch(scheme.CONFIG_MAPS, "default", options, None)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server.make()
    async with made.running():
        yield made


async def test_a_short_absence_of_etcd_ends_no_watch(server: Server) -> None:
    events = server.watch(server.feed.revision)
    first = asyncio.ensure_future(anext(events))
    await server.clock.settle()
    server.lose_etcd()
    await server.clock.advance(contact.LOST_AFTER / 2)
    server.find_etcd()
    await server.clock.advance(contact.LOST_AFTER)
    await server.write("one")
    assert b"one" in await first
    assert server.feed.contact.kept
    await events.aclose()


async def test_a_lost_etcd_ends_every_watch_and_refuses_new_ones_until_it_is_heard(server: Server) -> None:
    await server.write("one")
    await server.clock.settle()
    known = server.feed.revision
    events = server.watch(known)
    ended = asyncio.ensure_future(_all(events))
    await server.clock.settle()
    server.lose_etcd()
    await server.clock.advance(contact.LOST_AFTER + 0.1)
    bookmark = caching.watch_event(BOOKMARK, b"", known)
    assert await ended == [bookmark]  # it says how far it came, for the next server
    with pytest.raises(errors.Unavailable) as refused:
        await anext(server.watch(known))
    assert errors.surely_not_done(refused.value)
    server.find_etcd()
    await server.clock.advance(contact.LOST_AFTER)
    events = server.watch(known)
    first = asyncio.ensure_future(anext(events))
    await server.write("two")
    assert b"two" in await first
    await events.aclose()


async def test_while_everything_is_listed_anew_the_revision_is_the_old_one(server: Server) -> None:
    await server.write("one")
    await server.clock.settle()
    known = server.feed.revision
    server.lose_etcd("range", "watch")
    await server.write("two")
    await server.write("three")
    await server.store.compact(await server.store.revision())
    server.lose_etcd("range")
    await server.clock.advance(1)
    assert server.feed.revision == known
    server.find_etcd()
    await server.clock.advance(5)
    assert server.feed.revision == known + 2
    assert sorted(e.name for e in server.caches["configmaps"].entries.values()) == ["one", "three", "two"]


async def test_nobody_is_left_waiting_for_a_revision_that_does_not_come(server: Server) -> None:
    async with asyncio.TaskGroup() as group:
        for ahead in (1000, 2000):
            waiting = group.create_task(_refused(server.feed.reached(ahead)))
        await server.clock.advance(CATCH_UP)
        assert await waiting
    assert server.feed._waiting == []


async def test_the_history_is_bound_by_its_bytes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "HISTORY_BYTES", 10_000)
    cache = server.caches["configmaps"]
    revisions = [await server.write("big", 3_000 + n) for n in range(8)]
    await server.clock.settle()
    assert cache.floor == revisions[-4]
    watcher = Watcher(cache, Selection(), bookmarks=False)
    cache.watch_from(revisions[-4], watcher)
    with pytest.raises(errors.Expired):
        cache.watch_from(revisions[-5], watcher)
    watcher.close()
    await server.write("bigger", 20_000)  # the newest is remembered at any size
    await server.clock.settle()
    assert cache.floor == revisions[-1]


async def test_a_big_event_is_not_kept_a_second_time(server: Server) -> None:
    await server.write("small")
    await server.write("big", 2 * caching.KEPT_FRAME)
    await server.clock.settle()
    small, big = server.caches["configmaps"]._ring
    assert small.frame(caching.ADDED) is small.frame(caching.ADDED)
    assert big.frame(caching.ADDED) is not big.frame(caching.ADDED)


async def test_any_number_of_initial_events_is_followed_by_its_bookmark(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "BACKLOG", 3)
    for n in range(5):
        await server.write(f"c{n}")
    await server.clock.settle()
    cache = server.caches["configmaps"]
    watcher = Watcher(cache, Selection(), bookmarks=True)
    cache.watch_from_now(watcher, server.feed.revision, initial_events_end=True)
    for n in range(3):
        await server.write(f"later{n}")
    await server.clock.settle()
    seen = [event async for event, _ in watcher.events(server.clock, 0)]
    assert seen == [caching.ADDED] * 5 + [BOOKMARK] + [caching.ADDED] * 3
    watcher = Watcher(cache, Selection(), bookmarks=True)
    cache.watch_from_now(watcher, server.feed.revision)
    for n in range(4):
        await server.write(f"last{n}")
    await server.clock.settle()
    assert watcher not in cache.watchers  # what comes later counts


async def _all(events: Any) -> list[bytes]:
    return [event async for event in events]


async def _refused(wait: Any) -> bool:
    with pytest.raises(errors.Timeout):
        await wait
    return True
