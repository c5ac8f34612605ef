"""What the api-server needs of a store, and the words for it. etcd is one, the tests' fake in memory is another;
one test suite runs on both.

Keys are text, values bytes. Revisions are etcd's: one counter for the whole store, one step a write. Every method
raises :mod:`kubelab.apimachinery.errors`: ``Expired`` for a compacted revision, ``Unavailable`` and ``Timeout`` when
it is unknown what became of a request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: str
    value: bytes
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a range, in key order. ``revision`` is the store's at the time of the answer."""

    items: Sequence[KeyValue]
    more: bool
    count: int
    revision: int


@dataclass(frozen=True, slots=True)
class Absent:
    """The key does not exist."""

    key: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The key was written last at this revision."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Holds:
    """The key exists and has this value."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


Condition: TypeAlias = Absent | Unchanged | Holds
Operation: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction. When it was refused, ``current`` holds what its conditions' keys have now."""

    succeeded: bool
    revision: int
    current: Mapping[str, KeyValue | None] = field(default_factory=dict[str, KeyValue | None])


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """A key was put (value) or deleted (None) at a revision."""

    key: str
    value: bytes | None
    revision: int


class Store(Protocol):
    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        """Read one key (no ``end``) or all in [start, end). Linearizable when no revision is given."""
        ...

    async def revision(self) -> int:
        """The store's revision, after everything that was written before this call."""
        ...

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        """Do all operations at one revision if all conditions hold, or none."""
        ...

    def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        """Every change of every key from a revision on. All events of one revision come in one batch.

        An empty batch comes when the watch has begun, and now and then while nothing happens: the store is heard.
        """
        ...

    async def grant_lease(self, ttl_seconds: int) -> int: ...

    async def keep_lease(self, lease: int) -> bool:
        """Prolong a lease by its TTL; False when it has expired."""
        ...

    async def revoke_lease(self, lease: int) -> None: ...

    async def compact(self, revision: int) -> None:
        """Forget the history before a revision; one that is compacted already is no error."""
        ...

    async def full(self) -> bool:
        """Whether the store's quota is reached: it takes nothing new then, but deletes."""
        ...

    async def make_room(self) -> bool:
        """Give back what deleting and compacting has freed, and take new things again; False if that was nothing."""
        ...

    async def close(self) -> None: ...


def prefix_end(prefix: str) -> str:
    """The end of the range that holds every key with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
