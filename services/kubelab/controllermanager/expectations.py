"""Own writes that a cache does not show yet: a decision on a cache older than them would be made twice.

A creation is seen when the cache has reached the revision that the api-server returned for it; a deletion when the
cache shows the object leaving, gone, or replaced. Watches may be slow but are never wrong, so nothing is counted that
could be miscounted. What is not seen after ``EXPIRY`` is given up, so that a fault elsewhere blocks no key for ever.

The awaited event brings the key back. Where none comes, because a new list showed the write or its undoing, the
key looks again after ``LOOK_AGAIN``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import HasMetadata, meta_of
from kubelab.client.informer import Informer

EXPIRY = 300.0  # seconds, upstream's ExpectationsTimeout
LOOK_AGAIN = 1.0  # seconds


T = TypeVar("T", bound=Message)


@dataclass(slots=True)
class _Writes:
    since: float
    revision: int = 0
    deleted: dict[str, str] = field(default_factory=dict[str, str])  # key of the object → uid


class Expectations(Generic[T]):
    """What each key still waits to see in one informer's cache."""

    def __init__(self, informer: Informer[T], clock: Clock) -> None:
        self._informer, self._clock = informer, clock
        self._writes: dict[str, _Writes] = {}

    def created(self, key: str, obj: HasMetadata) -> None:
        """Note what a create or an update returned."""
        writes = self._of(key)
        writes.revision = max(writes.revision, int(obj.metadata.resourceVersion or 0))

    def deleted(self, key: str, obj: HasMetadata) -> None:
        """Note that an object was told to go."""
        self._of(key).deleted[f"{obj.metadata.namespace}/{obj.metadata.name}"] = obj.metadata.uid

    def forget(self, key: str) -> None:
        """Wait for nothing any more: the key is gone."""
        self._writes.pop(key, None)

    def satisfied(self, key: str) -> bool:
        """Say whether the cache shows every write noted for a key."""
        writes = self._writes.get(key)
        if writes is None:
            return True
        current = self._informer.last_sync_resource_version
        behind = writes.revision and int(current or 0) < writes.revision
        if not behind:
            writes.revision = 0
        writes.deleted = {name: uid for name, uid in writes.deleted.items() if self._still_there(name, uid)}
        if (behind or writes.deleted) and self._clock.monotonic() - writes.since < EXPIRY:
            return False
        del self._writes[key]
        return True

    def _of(self, key: str) -> _Writes:
        writes = self._writes.setdefault(key, _Writes(0.0))
        writes.since = self._clock.monotonic()
        return writes

    def _still_there(self, name: str, uid: str) -> bool:
        obj = self._informer.get(name)
        if obj is None:
            return False
        meta = meta_of(obj)
        return meta.uid == uid and not meta.HasField("deletionTimestamp")
