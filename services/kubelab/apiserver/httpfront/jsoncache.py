"""Objects as JSON. That of a cached object is kept, once for each revision, so that lists and watches join bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf.message import Message

from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.endpoints.decoding import GroupVersionKind
from kubelab.apiserver.watchcache.changes import Entry

MAX_BYTES = 48 * 1024 * 1024  # of all encoded objects that are kept, in one process
_OVERHEAD = 256  # bytes that an entry takes besides
_Key = tuple[Resource[Message], str]


def dump(document: Any) -> bytes:
    """Write compact JSON."""
    return orjson.dumps(document)


def head(kind: GroupVersionKind) -> bytes:
    """Give the beginning of an object's JSON: its kind and version, with the comma after them."""
    return dump({"kind": kind.kind, "apiVersion": kind.api_version})[:-1] + b","


def with_kind(kind: GroupVersionKind, body: bytes) -> bytes:
    """Put kind and version before the other fields of an object."""
    return head(kind) + body[1:] if len(body) > 2 else head(kind)[:-1] + b"}"


def fields(obj: Message) -> bytes:
    """Encode a message without kind and version, as the items of a list are."""
    return dump(message_to_dict(obj))


class JSONCache:
    """Encodes cached objects and keeps what was asked for last, within a budget. An object whose JSON nobody asks for
    takes nothing."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[_Key, tuple[int, bytes]] = OrderedDict()
        self.bytes = 0

    def of(self, resource: Resource[Message], entry: Entry) -> bytes:
        """Give a cached object's JSON, without kind and version."""
        if not entry.key:
            return fields(resource.message.FromString(entry.value))  # of no stored object
        key = resource, entry.key  # one stored object is another JSON in each version that it is served in
        kept = self._kept.get(key)
        if kept is not None and kept[0] == entry.revision:
            self._kept.move_to_end(key)
            return kept[1]
        body = fields(resource.message.FromString(entry.value))
        self._keep(key, entry.revision, body, kept)
        return body

    def _keep(self, key: _Key, revision: int, body: bytes, before: tuple[int, bytes] | None) -> None:
        if before is not None:
            if before[0] > revision:
                return  # a reader of the past does not replace the present
            self.bytes -= len(before[1]) + _OVERHEAD
        self._kept[key] = revision, body
        self._kept.move_to_end(key)
        self.bytes += len(body) + _OVERHEAD
        while self.bytes > self._max_bytes and self._kept:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.bytes -= len(dropped) + _OVERHEAD


def ordered(kind: GroupVersionKind, body: Mapping[str, Any]) -> dict[str, Any]:
    """Give a document that begins with its kind and version, as upstream writes it."""
    return {"kind": kind.kind, "apiVersion": kind.api_version, **body}
