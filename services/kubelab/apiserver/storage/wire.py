"""Objects as bytes: the storage envelope, and answers put together from encoded parts without decoding them.

What etcd holds is upstream's storage encoding, ``k8s\\0`` and a ``runtime.Unknown``
(https://github.com/kubernetes/apimachinery/blob/master/pkg/runtime/serializer/protobuf/protobuf.go).
The resourceVersion is etcd's to know: it is appended on the way out as one more encoded ``metadata`` field, and
concatenated protobuf messages merge. That works because every stored object has ``metadata`` at number 1.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.wireformat import delimited, varint
from kubelab.storage.v1 import storage_pb2

MAGIC = b"k8s\x00"
_NO_ENCODING = b"\x1a\x00\x22\x00"  # contentEncoding and contentType, empty, as upstream writes them
_RAW = 0x12  # field 2 of Unknown, length-delimited


def revision_suffix(revision: int) -> bytes:
    """Encode ``metadata { resourceVersion }``, to be appended to an object."""
    text = str(revision).encode()
    return bytes((0x0A, len(text) + 2, 0x32, len(text))) + text


class Envelope:
    """Seals and opens what is stored of one resource."""

    def __init__(self, resource: Resource[Message]) -> None:
        self.resource = resource
        meta = storage_pb2.TypeMeta(apiVersion=resource.api_version, kind=resource.kind)
        self._head = MAGIC + delimited(1, meta.SerializeToString())
        self._any_head = delimited(1, resource.type_url.encode()) + b"\x12"

    def seal(self, raw: bytes) -> bytes:
        """Give what etcd stores for an encoded object without resourceVersion."""
        return b"".join((self._head, b"\x12", varint(len(raw)), raw, _NO_ENCODING))

    def open(self, value: bytes) -> bytes:
        """Give the encoded object back; ValueError when the value is not in the storage encoding."""
        at = len(self._head)
        if value.startswith(self._head) and len(value) > at and value[at] == _RAW:
            size, shift, at = 0, 0, at + 1
            while at < len(value):
                byte = value[at]
                size, shift, at = size | (byte & 0x7F) << shift, shift + 7, at + 1
                if byte < 0x80:
                    return value[at : at + size]
        if not value.startswith(MAGIC):
            raise ValueError(f"a stored {self.resource.kind} does not begin with {MAGIC!r}")
        try:
            return storage_pb2.Unknown.FromString(value[len(MAGIC) :]).raw
        except DecodeError as err:
            raise ValueError(f"a stored {self.resource.kind} is not in its envelope: {err}") from err

    def decode(self, raw: bytes) -> Message:
        """Decode what an envelope held; ValueError when it is no such object."""
        try:
            return self.resource.message.FromString(raw)
        except DecodeError as err:
            raise ValueError(f"what is stored is no {self.resource.kind}: {err}") from err

    def any(self, raw: bytes, revision: int) -> tuple[bytes, int]:
        """Encode an ``Any`` that carries the object at a revision, and where in it the object begins. 0 is the revision
        of what is not stored."""
        suffix = revision_suffix(revision) if revision else b""
        size = varint(len(raw) + len(suffix))
        return b"".join((self._any_head, size, raw, suffix)), len(self._any_head) + len(size)


def object_response(any_bytes: bytes) -> bytes:
    """Encode an ``ObjectResponse``."""
    return delimited(1, any_bytes)


def watch_event(kind: int, any_bytes: bytes, revision: int) -> bytes:
    """Encode a ``WatchEvent``; no object gives a bookmark's."""
    head = bytes((0x08, kind))
    return head + (delimited(2, any_bytes) if any_bytes else b"") + delimited(3, str(revision).encode())
