"""One etcd watch feeds every cache.

The watch covers the whole key space, not one resource. Each revision of the store then passes through it, so a
cache knows for certain that it is at revision R: a consistent read asks etcd for its revision (one cheap call shared
by all who wait) and goes on once that revision has passed. Per-resource watches would need progress notifications
for it, which etcd before 3.4.25 may send ahead of events (etcd issue 15220).

Serial: one task reads the watch and applies batches. Readers wait for a revision. The reflector ends with its task; a
broken watch is resumed after the last revision that was seen, and where that is compacted everything is listed anew.
Where it stays broken (:mod:`~kubelab.apiserver.watchcache.storehealth`) every watch ends, and none begins until the
store answers again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.observed import spend
from kubelab.apiserver.storage.store import Store, StoreEvent, prefix_end
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.storehealth import StoreHealth

log = structlog.get_logger()

ROOT = "/registry/"
PAGE = 500
RESUME = ExponentialBackoff(0.1, 0.5)  # before a broken watch is tried again; well below LOST_AFTER
CATCH_UP = 3.0  # seconds that a reader waits for a revision, as upstream
BOOKMARKS = 60.0  # seconds between two bookmarks


class Reflector:
    """Keeps caches at the store's revision, from :meth:`run` until it is cancelled."""

    def __init__(self, store: Store, caches: Sequence[ResourceCache], clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._caches: dict[str, tuple[ResourceCache, ...]] = {}
        for cache in caches:
            self._keep(cache)
        self._joining: dict[ResourceCache, list[StoreEvent]] = {}  # changes of caches that are being filled
        self._loads = 0
        self._raw: list[tuple[str, Callable[[StoreEvent], None], Callable[[], None]]] = []
        self.health = StoreHealth(clock, self._lose)
        self.revision = 0
        self.synced = asyncio.Event()
        self._complete = False  # everything is listed, and no change since was missed
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._next: asyncio.Future[int] | None = None
        self._wanted = asyncio.Event()

    def on_keys(self, prefix: str, listener: Callable[[StoreEvent], None], begin: Callable[[], None]) -> None:
        """Call with every change of keys outside the caches, and ``begin`` before all are told anew; both only note
        it."""
        self._raw.append((prefix, listener, begin))

    async def run(self) -> None:
        """Follow the store until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="watch-etcd")
            group.create_task(self._ask(), name="etcd-revision")
            group.create_task(self._bookmark(), name="bookmarks")
            group.create_task(self.health.run(), name="etcd-health")

    async def join(self, cache: ResourceCache) -> None:
        """Fill one more cache and keep it from now on. Raises as the store does."""
        await self.synced.wait()
        while True:
            loads, self._joining[cache] = self._loads, []
            try:
                values, revision = await self._list(cache.prefix)
                await self.reached(revision)
                if loads != self._loads:
                    continue  # everything was listed anew meanwhile: changes may be missing
                cache.replace(values, revision)
                for event in self._joining[cache]:
                    if event.revision > revision:
                        cache.apply(event.key, event.value, event.revision)
                self._keep(cache)
                return
            finally:
                del self._joining[cache]

    def leave(self, cache: ResourceCache) -> None:
        """Keep a cache no longer: its watches end."""
        left = tuple(one for one in self._caches.get(cache.prefix, ()) if one is not cache)
        if left:
            self._caches[cache.prefix] = left
        else:
            self._caches.pop(cache.prefix, None)
        for watcher in list(cache.watchers):
            watcher.close()

    def _keep(self, cache: ResourceCache) -> None:
        self._caches[cache.prefix] = (*self._caches.get(cache.prefix, ()), cache)

    def _all(self) -> Iterator[ResourceCache]:
        for caches in self._caches.values():
            yield from caches

    async def _list(self, prefix: str) -> tuple[list[tuple[str, bytes, int]], int]:
        """Everything below a prefix at one revision, and that revision."""
        values: list[tuple[str, bytes, int]] = []
        start, revision = prefix, 0
        while True:
            page = await self._store.range(start, prefix_end(prefix), limit=PAGE, revision=revision)
            revision = revision or page.revision
            values += [(kv.key, kv.value, kv.mod_revision) for kv in page.items]
            if not page.more:
                return values, revision
            start = page.items[-1].key + "\0"

    async def fresh(self) -> int:
        """Wait until the caches hold everything that was written before this call."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        started = self._clock.monotonic()
        revision = await asyncio.shield(self._next)
        await self.reached(revision)
        spend(self._clock.monotonic() - started)
        return revision

    async def reached(self, revision: int) -> None:
        """Wait for a revision; Timeout in upstream's words when it does not come."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (revision, next(self._order), future)
        heapq.heappush(self._waiting, waiter)
        try:
            async with self._clock.timeout(CATCH_UP):
                await future
        except TimeoutError:
            message = f"Timeout: Too large resource version: {revision}, current: {self.revision}"
            cause = errors.Cause("", "Too large resource version", "ResourceVersionTooLarge")
            raise errors.Timeout(message, causes=[cause], retry_after_seconds=1) from None
        finally:
            if future.cancelled() and waiter in self._waiting:  # its reader is gone, and the revision may never come
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)

    def dismiss(self) -> None:
        """End every watch. The bookmark tells how far it came: the next server remembers at least what is younger."""
        self.send_bookmarks()
        self.close_watches()

    def close_watches(self) -> None:
        """End every watch, so that a server can stop without waiting for its clients."""
        for cache in self._all():
            for watcher in list(cache.watchers):
                watcher.close()

    def send_bookmarks(self) -> None:
        """Tell every watch that asked for it how far the caches are."""
        for cache in self._all():
            for watcher in list(cache.watchers):
                watcher.offer_bookmark(self.revision)

    def cut_deaf(self) -> None:
        """Cut off every watch whose client has taken nothing since the last time."""
        cut = {cache.kind.resource.qualified: n for cache in self._all() if (n := cache.cut_deaf())}
        if cut:
            log.warning("cut off watches whose clients read nothing", **cut)

    async def _ask(self) -> None:
        """Read the store's revision for all who came since the last reading began."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            asked, self._next = self._next, None
            assert asked is not None
            try:
                revision = await self._store.revision()
            except errors.ApiError as err:
                asked.set_exception(err)
                asked.exception()  # its reader may be gone
            else:
                asked.set_result(revision)

    async def _follow(self) -> None:
        attempt = 0
        while True:
            try:
                while not self._complete:
                    await self._load()
                async for batch in self._store.watch(self.revision + 1):
                    attempt = 0
                    self.health.succeeded()
                    if batch:
                        self._apply(batch)
            except errors.Expired:
                log.warning("the history that was missed is compacted, listing everything", revision=self.revision)
                self._complete = False
            except errors.ApiError as err:
                attempt += 1
                self.health.failed()
                log.warning("lost etcd, will resume", reason=err.reason, message=err.message, attempt=attempt)
                await self._clock.sleep(RESUME.delay(attempt))

    def _lose(self) -> None:
        log.warning("etcd stays lost, sending every watch to another server", revision=self.revision)
        self.dismiss()

    async def _load(self) -> None:
        """List everything at one revision; it is complete unless a cache joined meanwhile."""
        before = list(self._all())
        listed: dict[str, list[tuple[str, bytes, int]]] = {prefix: [] for prefix in self._caches}
        others: list[StoreEvent] = []
        start, revision = ROOT, 0
        while True:
            page = await self._store.range(start, prefix_end(ROOT), limit=PAGE, revision=revision)
            revision = revision or page.revision
            for kv in page.items:
                caches = self._caches_of(kv.key)
                if caches:
                    listed.setdefault(caches[0].prefix, []).append((kv.key, kv.value, kv.mod_revision))
                else:
                    others.append(StoreEvent(kv.key, kv.value, kv.mod_revision))
            if not page.more:
                break
            start = page.items[-1].key + "\0"
        if before != list(self._all()):
            return  # a cache has joined or left meanwhile
        for cache in before:
            cache.replace(listed[cache.prefix], revision)
        for _, _, begin in self._raw:
            begin()
        for event in others:
            self._tell(event)
        self._advance(revision)
        self._complete = True
        self._loads += 1
        self.health.succeeded()
        self.synced.set()

    def _apply(self, batch: Sequence[StoreEvent]) -> None:
        for event in batch:
            # A member that was sent a snapshot may tell old news again (etcd issue 20221).
            if event.revision <= self.revision or not event.key.startswith(ROOT):
                continue
            caches = self._caches_of(event.key)
            for cache in caches:
                cache.apply(event.key, event.value, event.revision)
            if self._joining:
                for joining, missed in self._joining.items():
                    if event.key.startswith(joining.prefix):
                        missed.append(event)
            if not caches:
                self._tell(event)
        self._advance(max(self.revision, batch[-1].revision))

    def _tell(self, event: StoreEvent) -> None:
        for prefix, listener, _ in self._raw:
            if event.key.startswith(prefix):
                listener(event)

    def _caches_of(self, key: str) -> tuple[ResourceCache, ...]:
        """Give the caches of a key's kind, one for each of its versions."""
        at = key.find("/", len(ROOT)) + 1
        return self._caches.get(key[:at]) or self._caches.get(key[: key.find("/", at) + 1], ())

    def _advance(self, revision: int) -> None:
        """Let go who waits for a revision; it only goes back where everything was listed anew."""
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _bookmark(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARKS)
            self.cut_deaf()
            self.send_bookmarks()
