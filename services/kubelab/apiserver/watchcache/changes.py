"""One change of one object, as the caches keep it and as watchers see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from google.protobuf.message import Message

from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import TYPE_URL_PREFIX, Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.storage.wire import Envelope, revision_suffix, watch_event
from kubelab.rpc.apiserver.v1 import apiserver_pb2

ADDED = apiserver_pb2.WatchEvent.ADDED
MODIFIED = apiserver_pb2.WatchEvent.MODIFIED
DELETED = apiserver_pb2.WatchEvent.DELETED
BOOKMARK = apiserver_pb2.WatchEvent.BOOKMARK

KEPT_FRAME = 64 * 1024  # bytes of an event that is kept encoded: the history holds its object already
OVERHEAD = 1024  # bytes that a change takes besides its objects, roughly


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


class AnsweredEntry(Entry):
    """An object that is not stored, as an answer carries it: it has no key and no revision."""

    __slots__ = ()

    def __init__(self, obj: Message) -> None:
        meta = meta_of(obj)
        self.key, self.revision = "", 0
        self.namespace, self.name, self.uid = meta.namespace, meta.name, meta.uid
        self.labels, self.fields = dict(meta.labels), {}
        raw = obj.SerializeToString()
        self.any = delimited(1, (TYPE_URL_PREFIX + obj.DESCRIPTOR.full_name).encode()) + delimited(2, raw)
        self._end = len(self.any)
        self._begin = self._end - len(raw)


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
        """The bytes that are held for it at most: both states, and the event that is kept encoded."""
        now = len(self.entry.any) if self.entry else 0
        before = len(self.previous.any) if self.previous else 0
        message = now or before
        return now + before + (message if message <= KEPT_FRAME else 0) + OVERHEAD

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


class InitialEventsEnd(int):
    """The revision of the bookmark that comes after all initial events."""
