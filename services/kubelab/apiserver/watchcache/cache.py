"""The objects of one resource as etcd has them, their recent history, and those who watch.

Everything here is synchronous and runs on the event loop between two awaits: a reader sees one revision.
:mod:`~kubelab.apiserver.watchcache.reflector` is the only writer. A change is decoded once, when it enters; reads and
watches hand encoded bytes on.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping

import structlog
from google.protobuf.message import Message
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.storage.store import prefix_end
from kubelab.apiserver.watchcache.changes import ADDED, BOOKMARK, Change, Entry, InitialEventsEnd, Kind, Selection
from kubelab.apiserver.watchcache.history import History
from kubelab.apiserver.watchcache.watcher import Watcher

log = structlog.get_logger()


class ResourceCache:
    """One resource's objects in key order and its latest changes."""

    def __init__(self, kind: Kind, prefix: str, history: History) -> None:
        self.kind, self.prefix = kind, prefix
        self._history, self.ring = history, history.ring(self._forgotten)
        self.entries: dict[str, Entry] = {}
        self.changed = 0  # the last revision that touched this resource
        self.watchers: set[Watcher] = set()
        self._keys: list[str] = []
        self.undecodable = 0  # values that the store held under this resource's keys and that are none of its objects
        self._listeners: list[Callable[[Change], None]] = []
        self._restarts: list[Callable[[], None]] = []

    @property
    def floor(self) -> int:
        """Changes after this revision are all remembered."""
        return self.ring.floor

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if namespace else self.prefix + name

    def watcher(self, selection: Selection, bookmarks: bool) -> Watcher:
        """A watch that is not registered yet."""
        return Watcher(selection, bookmarks, self.watchers.discard)

    def cut_deaf(self) -> int:
        """Cut off watchers whose clients have taken nothing since the last time; gives how many."""
        deaf = [watcher for watcher in self.watchers if watcher.deaf()]
        self._history.on_forget(sum(watcher.cut() for watcher in deaf))
        return len(deaf)

    def _forgotten(self) -> None:
        for watcher in [watcher for watcher in self.watchers if watcher.behind(self.ring.floor)]:
            watcher.cut()

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call with every change from now on; it must only note it."""
        self._listeners.append(listener)

    def on_replace(self, listener: Callable[[], None]) -> None:
        """Call each time that everything was listed anew."""
        self._restarts.append(listener)

    def entry(self, key: str, value: bytes, revision: int) -> Entry | None:
        """Decode what the store holds. None when that is no object of this kind: another program wrote it,
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
        self._history.clear(self.ring, revision)
        self.changed = revision
        for listener in self._restarts:
            listener()

    def apply(self, key: str, value: bytes | None, revision: int) -> None:
        """Take one change in and show it to every watcher. What cannot be decoded counts as deleted."""
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
        self._history.add(self.ring, change)
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
        for change in reversed(self.ring.changes):
            if change.revision <= revision:
                break
            event = change.seen_by(watcher.selection)
            if event is not None:
                missed.append((event, change))
        missed.reverse()
        watcher.resume(missed)
        self.watchers.add(watcher)

    def watch_from_now(self, watcher: Watcher, revision: int, *, initial_events_end: bool = False) -> None:
        """Register a watcher that is first told every object that is there."""
        kind = self.kind
        watcher.begin((ADDED, Change(kind, e.revision, e, None)) for e in self.select(watcher.selection))
        if initial_events_end and watcher.bookmarks:
            watcher.begin([(BOOKMARK, InitialEventsEnd(revision))])
        self.watchers.add(watcher)

    def check_invariants(self) -> None:
        """Keys and entries agree, the ring is in order and ends where the entries are; AssertionError otherwise."""
        assert self._keys == sorted(self.entries)
        revisions = [c.revision for c in self.ring.changes]
        assert revisions == sorted(revisions)
        assert not revisions or (revisions[0] > self.floor and revisions[-1] == self.changed)
        assert all(e.key == k for k, e in self.entries.items())
        assert self.ring.bytes == sum(c.size for c in self.ring.changes)


class DecodeErrors(Collector):
    """How many stored values were left out, by resource, at each scrape."""

    def __init__(self, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._caches = caches

    def collect(self) -> Iterable[Metric]:
        message = "Stored values that could not be decoded."
        family = CounterMetricFamily("apiserver_storage_decode_errors", message, labels=("resource",))
        for resource, cache in self._caches.items():
            family.add_metric((resource.qualified,), cache.undecodable)
        yield family
