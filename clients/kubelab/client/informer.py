"""An indexed cache of one kind of object, kept current by a list and a watch.

One task (:meth:`Informer.run`) does all the work in order: it lists in chunks, then watches, changes the cache and
calls the handlers, in the order of the revisions. Cancelling the task stops it; run again, it continues.

::

            list (chunks)          watch
    start ──────────────▶ synced ◀───────▶ following
      ▲                                       │  connection lost, stream ended: watch again from the last revision
      └───────────────────────────────────────┘  Expired, or a revision that no server has come to in a while (their
                                                 etcd was restored): list again, and call handlers for the difference

The first attempt after a lost watch is immediate, because another server may answer; later ones back off.

The cache returns shared instances: callers must not change them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError, Expired, has_cause
from kubelab.apimachinery.meta import key_of, meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.client import runtimeerrors
from kubelab.client.client import Client, EventType
from kubelab.client.controller import WorkerLogger
from kubelab.client.metrics import informer_metrics
from kubelab.rpc import tracing

T = TypeVar("T", bound=Message)
Indexer = Callable[[T], Iterable[str]]
"""Gives the values under which an index has an object."""

CHUNK = 500
BACKOFF = ExponentialBackoff(0.1, 2.0)
SETTLED_SECONDS = 5.0  # a watch that was open for so long was a good one, even if nothing happened
WATCH_SECONDS = (300, 600)  # a watch is asked to end somewhere in between, so that clients spread out again
AHEAD = "ResourceVersionTooLarge"  # the reason of a cause: the server does not know the revision yet
AHEAD_IN_A_ROW = 3  # then it never will


@dataclass(frozen=True, slots=True)
class _Handler(Generic[T]):
    on_add: Callable[[T], None] | None
    on_update: Callable[[T, T], None] | None
    on_delete: Callable[[T], None] | None


class Informer(Generic[T]):
    """See the module. Every reader of an index declares it with :meth:`add_indexers`."""

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
        log: WorkerLogger | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self._client, self._resource = client, resource
        self._namespace, self._chunk = namespace, chunk
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._clock = clock or client.clock
        self._log: WorkerLogger = log or structlog.get_logger()
        self.name = resource.plural
        self._objects: dict[str, T] = {}
        self._indexers: dict[str, Indexer[T]] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}
        self._by_namespace: dict[str, dict[str, None]] = {}
        self._handlers: list[_Handler[T]] = []
        self._revision = ""
        self._ahead = 0  # watches that the server was too far behind for, in a row
        self._synced = asyncio.Event()
        self._lists = 0
        if registry is not None:
            informer_metrics(registry).watch(self)

    # --- reading the cache

    @property
    def synced(self) -> bool:
        """Say whether the first list is in, handlers called."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until the first list is in."""
        await self._synced.wait()

    @property
    def last_sync_resource_version(self) -> str:
        """The revision up to which the cache is complete; ``""`` before the first list."""
        return self._revision

    @property
    def relists(self) -> int:
        """The number of lists, the first one included."""
        return self._lists

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> T | None:
        """Find one object by ``namespace/name``, or ``name`` where there are no namespaces."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> list[T]:
        """Give all objects, or those of one namespace."""
        if namespace is None:
            return [*self._objects.values()]
        return [self._objects[key] for key in self._by_namespace.get(namespace, ())]

    def add_indexers(self, indexers: Mapping[str, Indexer[T]]) -> None:
        """Declare indexes by name; each gives the values under which an object is found again.

        One that is declared already, with the same function, is left as it is; cached objects are indexed at once.
        Raises ValueError for a name that another function has.
        """
        for name, indexer in indexers.items():
            declared = self._indexers.get(name)
            if declared is not None and declared is not indexer:
                raise ValueError(f"informer of {self.name}: index {name!r} is declared with another function")
        for name, indexer in indexers.items():
            if name not in self._indexers:
                self._indexers[name] = indexer
                index = self._indexes[name] = {}
                for key, obj in self._objects.items():
                    _put(index, indexer(obj), key)

    def by_index(self, name: str, value: str) -> list[T]:
        """Give the objects that an index has under ``value``. Raises LookupError for an index that is not declared."""
        try:
            index = self._indexes[name]
        except KeyError:
            declared = ", ".join(sorted(self._indexes)) or "none"
            raise LookupError(f"informer of {self.name}: no index {name!r}; declared are {declared}") from None
        return [self._objects[key] for key in index.get(value, ())]

    def add_handler(
        self,
        *,
        on_add: Callable[[T], None] | None = None,
        on_update: Callable[[T, T], None] | None = None,
        on_delete: Callable[[T], None] | None = None,
    ) -> None:
        """Call these at every change, and ``on_add`` at once for each cached object. They must only enqueue."""
        handler = _Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        if on_add:
            for obj in [*self._objects.values()]:
                self._call(on_add, obj)

    # --- keeping it up

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        while True:
            if await self._follow():
                failures = 0
                continue
            if failures:
                await self._clock.sleep(BACKOFF.delay(failures))
            failures += 1

    async def _follow(self) -> bool:
        """List if need be, then watch until that ends; say whether anything came of it."""
        moved = False
        try:
            if not self._revision:
                with tracing.root():
                    await self._list()
                moved = True
            began = self._clock.monotonic()
            moved = await self._watch() or moved or self._clock.monotonic() - began > SETTLED_SECONDS
        except Expired as err:
            self._log.warning("watch expired, listing again", resource=self.name, error=err.message)
            self._revision = ""
        except ApiError as err:
            self._log.warning("list or watch failed", resource=self.name, reason=err.reason, error=err.message)
            self._doubt_revision(err)
            return moved
        self._ahead = 0
        return moved

    def _doubt_revision(self, err: ApiError) -> None:
        """Give up a revision that the servers do not come to: their etcd was put back to an earlier state."""
        self._ahead = self._ahead + 1 if has_cause(err, AHEAD) else 0
        if self._ahead >= AHEAD_IN_A_ROW:
            self._revision = ""

    async def _list(self) -> None:
        """Bring the cache to one revision, chunk by chunk, and call handlers for each difference."""
        listed: set[str] = set()
        revision = ""
        async for page in self._client.pages(self._resource, self._namespace, chunk=self._chunk, **self._selectors):
            revision = page.resource_version
            for obj in page.items:
                listed.add(self._store(obj))
        for key in [key for key in self._objects if key not in listed]:
            self._remove(key, self._objects[key])
        self._lists += 1
        self._revision = revision
        self._synced.set()

    async def _watch(self) -> bool:
        """Follow the changes until the stream ends; say whether there was any."""
        moved = False
        events = self._client.watch(
            self._resource,
            self._namespace,
            resource_version=self._revision,
            bookmarks=True,
            timeout_seconds=random.randint(*WATCH_SECONDS),
            label_selector=self._selectors["label_selector"],
            field_selector=self._selectors["field_selector"],
        )
        try:
            async for event in events:
                if event.object is not None:
                    if event.type is EventType.DELETED:
                        self._remove(key_of(event.object), event.object)
                    else:
                        self._store(event.object)
                moved = True
                self._revision = event.resource_version
        except ApiError as err:
            if isinstance(err, Expired) or not moved:
                raise
            self._log.warning("watch ended", resource=self.name, reason=err.reason, error=err.message)
        finally:
            await events.aclose()
        return moved

    def _store(self, obj: T) -> str:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None:
            was, now = meta_of(old), meta_of(obj)
            if was.resourceVersion == now.resourceVersion:
                return key
            if was.uid != now.uid:  # deleted and made again while the watch was broken
                self._remove(key, old)
                old = None
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        self._index(key, obj)
        for handler in self._handlers:
            if old is None and handler.on_add:
                self._call(handler.on_add, obj)
            elif old is not None and handler.on_update:
                self._call(handler.on_update, old, obj)
        return key

    def _remove(self, key: str, last: T) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        for handler in self._handlers:
            if handler.on_delete:
                self._call(handler.on_delete, last)

    def _index(self, key: str, obj: T) -> None:
        self._by_namespace.setdefault(meta_of(obj).namespace, {})[key] = None
        for index, indexer in self._indexers.items():
            _put(self._indexes[index], indexer(obj), key)

    def _unindex(self, key: str, obj: T) -> None:
        _drop(self._by_namespace, meta_of(obj).namespace, key)
        for index, indexer in self._indexers.items():
            for value in indexer(obj):
                _drop(self._indexes[index], value, key)

    def _call(self, handler: Callable[..., None], *objects: T) -> None:
        try:
            handler(*objects)
        except Exception:  # noqa: BLE001 — one handler must not keep the news from the others
            runtimeerrors.handle_error(self._log, f"informer handler of {self.name}", key_of(objects[-1]))

    def check_invariants(self) -> None:
        """Raise AssertionError when an index and the cache disagree."""
        indexed = {key for keys in self._by_namespace.values() for key in keys}
        assert indexed == self._objects.keys(), "the namespace index and the cache differ"
        for index, indexer in self._indexers.items():
            want: dict[str, dict[str, None]] = {}
            for key, obj in self._objects.items():
                _put(want, indexer(obj), key)
            assert self._indexes[index] == want, f"index {index} and the cache differ"


def _put(index: dict[str, dict[str, None]], values: Iterable[str], key: str) -> None:
    for value in values:
        index.setdefault(value, {})[key] = None


def _drop(index: dict[str, dict[str, None]], value: str, key: str) -> None:
    keys = index.get(value)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[value]
