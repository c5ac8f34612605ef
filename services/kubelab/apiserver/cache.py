"""The objects of one resource as etcd has them, their recent history, and those who watch.

Everything here is synchronous and runs on the event loop between two awaits: whoever reads sees one revision.
:mod:`kubelab.apiserver.feed` is the only writer. A change is decoded once, when it enters; reads and watches hand
encoded bytes on.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import structlog
from google.protobuf.message import Message
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.storage.store import prefix_end
from kubelab.apiserver.storage.wire import Envelope, revision_suffix, watch_event
from kubelab.apiserver.v1 import apiserver_pb2

log = structlog.get_logger()

ADDED = apiserver_pb2.WatchEvent.ADDED
MODIFIED = apiserver_pb2.WatchEvent.MODIFIED
DELETED = apiserver_pb2.WatchEvent.DELETED
BOOKMARK = apiserver_pb2.WatchEvent.BOOKMARK

HISTORY = 8192  # events that a resource remembers,
HISTORY_BYTES = 64 * 1024 * 1024  # as long as their objects are not more than this together
KEPT_FRAME = 64 * 1024  # bytes of an event that is kept encoded: the history holds its object already
BACKLOG = 4096  # events that a watcher may be behind


class Matcher(Protocol):
    """A parsed label or field selector."""

    def matches(self, values: Mapping[str, str], /) -> bool: ...


class Selection(NamedTuple):
    """Which objects are asked for. Empty and None are everything."""

    namespace: str = ""
    labels: Matcher | None = None
    fields: Matcher | None = None

    def matches(self, entry: Entry) -> bool:
        return (
            (not self.namespace or entry.namespace == self.namespace)
            and (self.labels is None or self.labels.matches(entry.labels))
            and (self.fields is None or self.fields.matches(entry.fields))
        )


class Entry:
    """An object at a revision. ``any`` is the encoded ``Any`` that answers carry; never changed."""

    __slots__ = ("_begin", "_end", "any", "fields", "key", "labels", "name", "namespace", "revision", "uid")

    def __init__(self, kind: Kind, key: str, raw: bytes, revision: int) -> None:
        obj = kind.envelope.decode(raw)
        meta = obj.metadata  # pyright: ignore[reportAttributeAccessIssue]  every stored object has one
        self.key, self.revision = key, revision
        self.namespace: str = meta.namespace
        self.name: str = meta.name
        self.uid: str = meta.uid
        self.labels: Mapping[str, str] = dict(meta.labels)
        self.fields = kind.selectable_fields(obj)
        self.any, self._begin = kind.envelope.any(raw, revision)
        self._end = self._begin + len(raw)

    @property
    def raw(self) -> bytes:
        """The encoded object without resourceVersion, as it is stored."""
        return self.any[self._begin : self._end]

    @property
    def value(self) -> bytes:
        """The encoded object with resourceVersion, as an ``Any`` carries it."""
        return self.any[self._begin :]


class Kind(NamedTuple):
    """What the cache must know of a resource."""

    resource: Resource[Message]
    envelope: Envelope
    selectable_fields: Callable[[Message], Mapping[str, str]]

    def entry(self, key: str, value: bytes, revision: int) -> Entry:
        """Decode what the store holds; ValueError when it is no such object."""
        return Entry(self, key, self.envelope.open(value), revision)


class Change:
    """What one write did to one object: ``entry`` is None after a deletion, ``previous`` before a creation."""

    __slots__ = ("_frames", "entry", "kind", "previous", "revision")

    def __init__(self, kind: Kind, revision: int, entry: Entry | None, previous: Entry | None) -> None:
        self.kind, self.revision, self.entry, self.previous = kind, revision, entry, previous
        self._frames: dict[int, bytes] = {}

    def seen_by(self, selection: Selection) -> int | None:
        """As which event a watcher sees it: an object that begins to match is ADDED, one that ceases is DELETED."""
        now = self.entry is not None and selection.matches(self.entry)
        before = self.previous is not None and selection.matches(self.previous)
        if now:
            return MODIFIED if before else ADDED
        return DELETED if before else None

    def value(self, event: int) -> bytes:
        """The encoded object of an event; a deletion has the last state that matched, at the deletion's revision."""
        if event != DELETED:
            assert self.entry is not None
            return self.entry.value
        assert self.previous is not None
        return self.previous.raw + revision_suffix(self.revision)

    @property
    def size(self) -> int:
        """The bytes that are held for it; the state before is mostly held for the change before."""
        told = self.entry or self.previous
        return len(told.any) if told else 0

    def frame(self, event: int) -> bytes:
        """The encoded ``WatchEvent``, made once for all watchers unless it is big."""
        frame = self._frames.get(event)
        if frame is None:
            if event != DELETED:
                assert self.entry is not None
                packed = self.entry.any
            else:
                assert self.previous is not None
                packed, _ = self.kind.envelope.any(self.previous.raw, self.revision)
            frame = watch_event(event, packed, self.revision)
            if len(frame) <= KEPT_FRAME:
                self._frames[event] = frame
        return frame


class Watcher:
    """One watch: iterate it. It ends when it is closed: by the server's stop, or when it is too far behind."""

    def __init__(self, cache: ResourceCache, selection: Selection, bookmarks: bool) -> None:
        self.selection, self.bookmarks = selection, bookmarks
        self._cache = cache
        self._first: deque[tuple[int, Change | int]] = deque()  # what it begins with, however much that is
        self._backlog: deque[tuple[int, Change | int]] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, change: Change) -> None:
        event = change.seen_by(self.selection)
        if event is None:
            return
        if len(self._backlog) >= BACKLOG:
            self.close()  # the client comes back with the revision that it has seen
            return
        self._backlog.append((event, change))
        self._wake.set()

    def offer_bookmark(self, revision: int) -> None:
        """Say how far the watch is, if the client wants to know and has read everything before."""
        if self.bookmarks and len(self._backlog) < BACKLOG:
            self._backlog.append((BOOKMARK, revision))
            self._wake.set()

    def begin(self, changes: Iterable[tuple[int, Change | int]]) -> None:
        """Say what comes before all that happens from now on."""
        self._first.extend(changes)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._cache.watchers.discard(self)
        self._wake.set()

    async def events(self, clock: Clock, seconds: float) -> AsyncGenerator[tuple[int, Change | int]]:
        """Event types with their change, for so long; a bookmark has its revision instead of a change."""
        stop_at = clock.monotonic() + seconds
        try:
            while True:
                while waiting := self._first or self._backlog:
                    yield waiting.popleft()
                if self._closed:
                    return
                self._wake.clear()
                try:
                    async with clock.timeout(stop_at - clock.monotonic()):  # never around a yield: it cancels the task
                        await self._wake.wait()
                except TimeoutError:
                    return
        finally:
            self.close()


class ResourceCache:
    """One resource's objects in key order and a ring of its latest changes."""

    def __init__(self, kind: Kind, prefix: str) -> None:
        self.kind, self.prefix = kind, prefix
        self.entries: dict[str, Entry] = {}
        self.changed = 0  # the last revision that touched this resource
        self.floor = 0  # changes after this revision are all remembered
        self.watchers: set[Watcher] = set()
        self._keys: list[str] = []
        self.undecodable = 0  # values that the store held under this resource's keys and that are none of its objects
        self._ring: deque[Change] = deque()
        self._ring_bytes = 0
        self._listeners: list[Callable[[Change], None]] = []

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if namespace else self.prefix + name

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call with every change from now on; it must only note it."""
        self._listeners.append(listener)

    def entry(self, key: str, value: bytes, revision: int) -> Entry | None:
        """Decode what the store holds. None when that is no object of this kind: somebody wrote it behind our back,
        and one bad value must not keep all the good ones from their readers."""
        try:
            return self.kind.entry(key, value, revision)
        except ValueError as err:
            self.undecodable += 1
            log.error("a stored value cannot be decoded, leaving it out", key=ascii(key), error=str(err))
            return None

    def replace(self, values: Iterable[tuple[str, bytes, int]], revision: int) -> None:
        """Begin anew from a list of keys, values and their revisions. Watchers are closed: they could have missed
        something."""
        for watcher in list(self.watchers):
            watcher.close()
        self.entries = {e.key: e for value in values if (e := self.entry(*value))}
        self._keys = sorted(self.entries)
        self._ring.clear()
        self._ring_bytes = 0
        self.floor = self.changed = revision

    def apply(self, key: str, value: bytes | None, revision: int) -> None:
        """Take one change in and show it to every watcher. What cannot be decoded is as good as deleted."""
        previous = self.entries.get(key)
        entry = None if value is None else self.entry(key, value, revision)
        if entry is not None:
            self.entries[key] = entry
            if previous is None:
                bisect.insort(self._keys, key)
        elif previous is not None:
            del self.entries[key]
            del self._keys[bisect.bisect_left(self._keys, key)]
        else:
            return
        change = Change(self.kind, revision, entry, previous)
        self._ring.append(change)
        self._ring_bytes += change.size
        while len(self._ring) > HISTORY or (self._ring_bytes > HISTORY_BYTES and len(self._ring) > 1):
            forgotten = self._ring.popleft()
            self.floor, self._ring_bytes = forgotten.revision, self._ring_bytes - forgotten.size
        self.changed = revision
        for listener in self._listeners:
            listener(change)
        for watcher in list(self.watchers) if self.watchers else ():
            watcher.offer(change)

    def get(self, namespace: str, name: str) -> Entry | None:
        return self.entries.get(self.key(namespace, name))

    def select(self, selection: Selection, after: str = "") -> Iterator[Entry]:
        """Matching entries in key order, those with a key greater than ``after``."""
        prefix = self.key(selection.namespace, "") if selection.namespace else self.prefix
        at = bisect.bisect_right(self._keys, after) if after else bisect.bisect_left(self._keys, prefix)
        entries, keys = self.entries, self._keys
        everything = selection.labels is None and selection.fields is None
        for i in range(at, len(keys)):
            if not keys[i].startswith(prefix):
                return
            entry = entries[keys[i]]
            if everything or selection.matches(entry):
                yield entry

    def count_after(self, selection: Selection, key: str) -> int:
        """How many objects of the selection's namespace come after a key."""
        prefix = self.key(selection.namespace, "") if selection.namespace else self.prefix
        end = bisect.bisect_left(self._keys, prefix_end(prefix))
        return end - bisect.bisect_right(self._keys, key)

    def watch_from(self, revision: int, watcher: Watcher) -> None:
        """Register a watcher that has seen everything up to a revision; Expired when that is too long ago."""
        if revision < self.floor:
            raise errors.Expired(f"too old resource version: {revision} ({self.floor})")
        missed: list[tuple[int, Change]] = []
        for change in reversed(self._ring):
            if change.revision <= revision:
                break
            event = change.seen_by(watcher.selection)
            if event is not None:
                missed.append((event, change))
        missed.reverse()
        watcher.begin(missed)
        self.watchers.add(watcher)

    def watch_from_now(self, watcher: Watcher, revision: int, *, initial_events_end: bool = False) -> None:
        """Register a watcher that is first told every object that is there."""
        kind = self.kind
        watcher.begin((ADDED, Change(kind, e.revision, e, None)) for e in self.select(watcher.selection))
        if initial_events_end and watcher.bookmarks:
            watcher.begin([(BOOKMARK, revision)])
        self.watchers.add(watcher)

    def check_invariants(self) -> None:
        """Keys and entries agree, the ring is in order and ends where the entries are; AssertionError otherwise."""
        assert self._keys == sorted(self.entries)
        revisions = [c.revision for c in self._ring]
        assert revisions == sorted(revisions)
        assert not revisions or (revisions[0] > self.floor and revisions[-1] == self.changed)
        assert all(e.key == k for k, e in self.entries.items())
        assert self._ring_bytes == sum(c.size for c in self._ring)


class DecodeErrors(Collector):
    """How many stored values were left out, by resource, when somebody scrapes."""

    def __init__(self, caches: Mapping[str, ResourceCache]) -> None:
        self._caches = caches

    def collect(self) -> Iterable[Metric]:
        told = "Stored values that could not be decoded."
        family = CounterMetricFamily("apiserver_storage_decode_errors", told, labels=("resource",))
        for plural, cache in self._caches.items():
            family.add_metric((plural,), cache.undecodable)
        yield family
