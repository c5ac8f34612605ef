"""The reflector on a store in memory: what it does when etcd is away, and what its caches remember."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS, Resource
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.resources.table import Resources, builtin
from kubelab.apiserver.storage.store import Put, StoreEvent
from kubelab.apiserver.storage.wire import watch_event
from kubelab.apiserver.watchcache import changes, history, storehealth
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import BOOKMARK, Selection
from kubelab.apiserver.watchcache.reflector import BOOKMARKS, CATCH_UP, Reflector
from tests.support.clock import FakeClock
from tests.support.memorystore import MemoryStore


@dataclass
class Server:
    """What an api-server reads with."""

    clock: FakeClock
    store: MemoryStore
    reflector: Reflector
    reader: ObjectReader
    caches: Mapping[Resource[Message], ResourceCache]

    @classmethod
    def make(cls) -> Server:
        clock = FakeClock()
        store = MemoryStore(clock)
        resources = Resources(builtin())
        reflector = Reflector(store, list(resources.caches.values()), clock)
        reader = ObjectReader(store, reflector, resources.caches, clock)
        return cls(clock, store, reflector, reader, resources.caches)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.reflector.run())
            await self.reflector.synced.wait()
            await self.clock.settle()
            yield
            task.cancel()
        for one in self.caches.values():
            one.check_invariants()

    async def write(self, name: str, size: int = 1) -> int:
        obj = core_pb2.ConfigMap(data={"a": "x" * size})
        obj.metadata.name, obj.metadata.namespace = name, "default"
        cache = self.caches[CONFIG_MAPS]
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

    async def watch(self, revision: int) -> AsyncGenerator[bytes]:
        """Give encoded events, as the gRPC front sends them."""
        options = meta_pb2.ListOptions(resourceVersion=str(revision), allowWatchBookmarks=True)
        events = await self.reader.watch(scheme.CONFIG_MAPS, "default", options)
        try:
            async for kind, change in events:
                yield watch_event(kind, b"", change) if isinstance(change, int) else change.frame(kind)
        finally:
            await events.aclose()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server.make()
    async with made.running():
        yield made


async def test_a_short_absence_of_etcd_ends_no_watch(server: Server) -> None:
    events = server.watch(server.reflector.revision)
    first = asyncio.ensure_future(anext(events))
    await server.clock.settle()
    server.lose_etcd()
    await server.clock.advance(storehealth.LOST_AFTER / 2)
    server.find_etcd()
    await server.clock.advance(storehealth.LOST_AFTER)
    await server.write("one")
    assert b"one" in await first
    assert server.reflector.health.healthy
    await events.aclose()


async def test_a_lost_etcd_ends_every_watch_and_refuses_new_ones_until_it_is_heard(server: Server) -> None:
    await server.write("one")
    await server.clock.settle()
    known = server.reflector.revision
    events = server.watch(known)
    ended = asyncio.ensure_future(_all(events))
    await server.clock.settle()
    server.lose_etcd()
    await server.clock.advance(storehealth.LOST_AFTER + 0.1)
    bookmark = watch_event(BOOKMARK, b"", known)
    assert await ended == [bookmark]  # it says how far it came, for the next server
    with pytest.raises(errors.Unavailable) as refused:
        await anext(server.watch(known))
    assert errors.was_not_executed(refused.value)
    server.find_etcd()
    await server.clock.advance(storehealth.LOST_AFTER)
    events = server.watch(known)
    first = asyncio.ensure_future(anext(events))
    await server.write("two")
    assert b"two" in await first
    await events.aclose()


async def test_a_cache_joins_once_etcd_answers_again_and_misses_nothing(server: Server) -> None:
    """A kind that is added while the server runs; here, its objects are config maps below another prefix."""
    kind, prefix = server.caches[CONFIG_MAPS].kind, "/registry/example.com/widgets/"
    widget = core_pb2.ConfigMap()
    widget.metadata.name, widget.metadata.namespace = "old", "default"
    put = Put(f"{prefix}default/old", kind.envelope.seal(widget.SerializeToString()))
    await server.store.transact([], [put])
    await server.clock.settle()
    joining = ResourceCache(kind, prefix, server.caches[CONFIG_MAPS]._history)
    server.lose_etcd()
    with pytest.raises(errors.Unavailable):
        await server.reflector.join(joining)
    await server.clock.settle()
    server.find_etcd()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.reflector.join(joining))
        await server.store.transact([], [dataclasses.replace(put, key=f"{prefix}default/new")])
        await server.clock.advance(storehealth.LOST_AFTER)
    assert sorted(joining.entries) == [f"{prefix}default/new", f"{prefix}default/old"]
    joining.check_invariants()


async def test_old_news_that_a_member_tells_again_are_no_news(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd does that after a member was sent a snapshot (etcd issue 20221)."""
    await server.write("one")
    await server.write("two")
    await server.clock.settle()
    old = [StoreEvent(server.caches[CONFIG_MAPS].key("default", "two"), None, 2)]
    real, told = server.store.watch, [old]

    async def watch(start: int) -> AsyncIterator[Any]:
        while told:
            yield told.pop()
        async for batch in real(start):
            yield batch

    monkeypatch.setattr(server.store, "watch", watch)
    server.lose_etcd("watch")
    await server.clock.settle()
    server.find_etcd()
    await server.clock.advance(storehealth.LOST_AFTER / 2)
    known = server.reflector.revision
    await server.write("three")
    await server.clock.settle()
    assert not told
    assert sorted(e.name for e in server.caches[CONFIG_MAPS].entries.values()) == ["one", "three", "two"]
    assert server.reflector.revision == known + 1
    server.caches[CONFIG_MAPS].check_invariants()


async def test_while_everything_is_listed_anew_the_revision_is_the_old_one(server: Server) -> None:
    await server.write("one")
    await server.clock.settle()
    known = server.reflector.revision
    server.lose_etcd("range", "watch")
    await server.write("two")
    await server.write("three")
    await server.store.compact(await server.store.revision())
    server.lose_etcd("range")
    await server.clock.advance(1)
    assert server.reflector.revision == known
    server.find_etcd()
    await server.clock.advance(5)
    assert server.reflector.revision == known + 2
    assert sorted(e.name for e in server.caches[CONFIG_MAPS].entries.values()) == ["one", "three", "two"]


async def test_nobody_is_left_waiting_for_a_revision_that_does_not_come(server: Server) -> None:
    async with asyncio.TaskGroup() as group:
        for ahead in (1000, 2000):
            waiting = group.create_task(_refused(server.reflector.reached(ahead)))
        await server.clock.advance(CATCH_UP)
        assert await waiting
    assert server.reflector._waiting == []


async def test_the_history_is_bound_by_its_bytes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 100_000)
    cache = server.caches[CONFIG_MAPS]
    revisions = [await server.write("big", 5_000 + n) for n in range(20)]
    await server.clock.settle()
    kept = [revision for revision in revisions if revision > cache.floor]
    assert 4 <= len(kept) <= 6  # each counts with the state before it, and once more as the event that is sent
    watcher = cache.watcher(Selection(), bookmarks=False)
    cache.watch_from(kept[0], watcher)
    with pytest.raises(errors.Expired):
        cache.watch_from(cache.floor - 1, watcher)
    watcher.close()
    await server.write("bigger", 200_000)  # the newest is remembered at any size
    await server.clock.settle()
    assert cache.floor == revisions[-1]


async def test_a_busy_resource_forgets_its_own_past_and_not_that_of_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 100_000)
    quiet = server.caches[SECRETS]
    secret = core_pb2.Secret(data={"a": b"b"})
    secret.metadata.name, secret.metadata.namespace = "quiet", "default"
    key = quiet.key("default", "quiet")
    put = Put(key, quiet.kind.envelope.seal(secret.SerializeToString()))
    first = (await server.store.transact([], [put])).revision
    await server.store.transact([], [put])
    for n in range(50):
        await server.write("busy", 5_000 + n)
    await server.clock.settle()
    assert quiet.floor < first < server.caches[CONFIG_MAPS].floor
    assert quiet._history.bytes <= history.MAX_BYTES


async def test_a_watch_that_nobody_reads_is_cut_off_where_the_history_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 100_000)
    cache = server.caches[CONFIG_MAPS]
    known = server.reflector.revision
    deaf, reader = server.watch(known), server.watch(known)
    await server.write("one", 5_000)
    assert b"one" in await anext(deaf)
    for n in range(50):
        await server.write("busy", 5_000 + n)
        while b"busy" not in await anext(reader):
            continue
    assert len(cache.watchers) == 1
    assert [event async for event in deaf] == []  # it ends, and its client goes on from what it has seen
    await reader.aclose()


async def test_a_watch_whose_client_takes_nothing_for_a_minute_is_cut_off(server: Server) -> None:
    """Also where it began with everything that was there, which the history does not bound."""
    for n in range(5):
        await server.write(f"c{n}", 1_000_000)
    await server.clock.settle()
    cache = server.caches[CONFIG_MAPS]
    deaf = server.watch(0)
    assert b"c0" in await anext(deaf)
    for quiet in (True, False):
        await server.clock.advance(BOOKMARKS)
        assert len(cache.watchers) == quiet, "a client that has just taken something has another minute"
    assert [event async for event in deaf] == []


async def test_a_big_event_is_not_kept_a_second_time(server: Server) -> None:
    await server.write("small")
    await server.write("big", 2 * changes.KEPT_FRAME)
    await server.clock.settle()
    small, big = server.caches[CONFIG_MAPS].ring.changes
    assert small.frame(changes.ADDED) is small.frame(changes.ADDED)
    assert big.frame(changes.ADDED) is not big.frame(changes.ADDED)


async def test_any_number_of_initial_events_is_followed_by_its_bookmark(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_CHANGES", 4)
    for n in range(5):
        await server.write(f"c{n}")
    await server.clock.settle()
    cache = server.caches[CONFIG_MAPS]
    watcher = cache.watcher(Selection(), bookmarks=True)
    cache.watch_from_now(watcher, server.reflector.revision, initial_events_end=True)
    for n in range(3):
        await server.write(f"later{n}")
    await server.clock.settle()
    seen = [event async for event, _ in watcher.events(server.clock, 0)]
    assert seen == [changes.ADDED] * 5 + [BOOKMARK] + [changes.ADDED] * 3
    watcher = cache.watcher(Selection(), bookmarks=True)
    cache.watch_from_now(watcher, server.reflector.revision)
    for n in range(5):
        await server.write(f"last{n}")
    await server.clock.settle()
    assert watcher not in cache.watchers  # what comes later counts


async def _all(events: Any) -> list[bytes]:
    return [event async for event in events]


async def _refused(wait: Any) -> bool:
    with pytest.raises(errors.Timeout):
        await wait
    return True
