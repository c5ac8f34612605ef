"""A store in memory with etcd's behaviour: revisions, transactions, history until compaction, watches, leases.

Several api-servers of one process may share one.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import (
    Absent,
    Condition,
    Delete,
    Holds,
    KeyValue,
    Operation,
    Outcome,
    Page,
    Put,
    StoreEvent,
)


@dataclass(slots=True)
class _Lease:
    ttl: int
    expires: float
    keys: set[str] = field(default_factory=set[str])


class MemoryStore:
    """A :class:`~kubelab.apiserver.storage.store.Store`.

    ``fail`` may raise before a call to play an outage; ``on_change`` is called with the events of each change, before
    its caller has the answer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._history: list[StoreEvent] = []  # by revision, everything since `_compacted`
        self._base: dict[str, KeyValue] = {}  # the state at `_compacted`
        self._now: dict[str, KeyValue] = {}
        self._revision = 1
        self._compacted = 0
        self._leases: dict[int, _Lease] = {}
        self._lease_of: dict[str, int] = {}
        self._changed = asyncio.Event()
        self.fail: Callable[[str], None] = lambda call: None
        self.on_change: Callable[[Sequence[StoreEvent]], None] = lambda events: None
        self.is_full = self.can_be_freed = False

    async def close(self) -> None:
        return None

    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        self._enter("range")
        state = self._at(revision) if revision else self._now
        keys = sorted(k for k in state if (start <= k < end if end else k == start))
        shown = keys[:limit] if limit else keys
        items = [KeyValue(k, b"" if keys_only else state[k].value, state[k].mod_revision) for k in shown]
        return Page(items, len(shown) < len(keys), len(keys), self._revision)

    async def revision(self) -> int:
        self._enter("revision")
        return self._revision

    def write(self, *operations: Operation) -> None:
        """Do operations at one revision, at once."""
        self._apply(operations)

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        self._enter("transact")
        if not all(self._holds(c) for c in conditions):
            return Outcome(False, self._revision, {c.key: self._now.get(c.key) for c in conditions})
        self._apply(operations)
        return Outcome(True, self._revision)

    async def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        self._enter("watch")
        next_revision = start_revision
        yield []
        while True:
            if next_revision <= self._compacted:
                raise errors.Expired(f"revision {next_revision} has been compacted")
            at = bisect.bisect_left(self._history, next_revision, key=lambda e: e.revision)
            batch = self._history[at:]
            if batch:
                next_revision = batch[-1].revision + 1
                yield batch
                continue
            await self._changed.wait()
            self._enter("watch")

    async def grant_lease(self, ttl_seconds: int) -> int:
        self._enter("grant_lease")
        lease = max(self._leases, default=0) + 1
        self._leases[lease] = _Lease(ttl_seconds, self._clock.monotonic() + ttl_seconds)
        return lease

    async def keep_lease(self, lease: int) -> bool:
        self._enter("keep_lease")
        held = self._leases.get(lease)
        if held is not None:
            held.expires = self._clock.monotonic() + held.ttl
        return held is not None

    async def revoke_lease(self, lease: int) -> None:
        self._enter("revoke_lease")
        held = self._leases.pop(lease, None)
        if held is None:
            raise errors.NotFound("requested lease not found")
        for key in sorted(held.keys):
            self._apply([Delete(key)])

    async def compact(self, revision: int) -> None:
        self._enter("compact")
        self._compacted = max(self._compacted, min(revision, self._revision))
        # What the oldest readable state needs is folded into it; only newer events stay readable.
        self._base = self._at(self._compacted)
        self._history = [e for e in self._history if e.revision > self._compacted]

    async def full(self) -> bool:
        self._enter("full")
        return self.is_full

    async def make_room(self) -> bool:
        self._enter("make_room")
        freed, self.can_be_freed = self.can_be_freed, False
        self.is_full = self.is_full and not freed
        return freed

    @property
    def latest(self) -> int:
        """The revision of the last change."""
        return self._revision

    def disturb(self) -> None:
        """Wake every watch, so that it meets what ``fail`` plays."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def check_invariants(self) -> None:
        """The present must follow from the history; AssertionError otherwise."""
        assert self._at(self._revision) == self._now
        revisions = [e.revision for e in self._history]
        assert revisions == sorted(revisions)

    def expire_leases(self) -> None:
        """Delete what hangs on leases that have run out; every call does so by itself."""
        now = self._clock.monotonic()
        for lease in [n for n, held in self._leases.items() if held.expires <= now]:
            for key in sorted(self._leases.pop(lease).keys):
                self._apply([Delete(key)])

    def _enter(self, call: str) -> None:
        self.fail(call)
        self.expire_leases()

    def _holds(self, condition: Condition) -> bool:
        current = self._now.get(condition.key)
        if isinstance(condition, Absent):
            return current is None
        if isinstance(condition, Holds):
            return current is not None and current.value == condition.value
        return (current.mod_revision if current else 0) == condition.mod_revision

    def _apply(self, operations: Sequence[Operation]) -> None:
        revision = self._revision + 1
        events: list[StoreEvent] = []
        for operation in operations:
            key = operation.key
            if isinstance(operation, Put):
                self._now[key] = KeyValue(key, operation.value, revision)
                self._attach(key, operation.lease)
                events.append(StoreEvent(key, operation.value, revision))
            elif self._now.pop(key, None) is not None:
                self._attach(key, 0)
                events.append(StoreEvent(key, None, revision))
        if events:
            self._revision = revision
            self._history.extend(events)
            self.on_change(events)
            self.disturb()

    def _attach(self, key: str, lease: int) -> None:
        if before := self._leases.get(self._lease_of.pop(key, 0)):
            before.keys.discard(key)
        if lease:
            if lease not in self._leases:
                raise errors.NotFound("requested lease not found")
            self._leases[lease].keys.add(key)
            self._lease_of[key] = lease

    def _at(self, revision: int) -> dict[str, KeyValue]:
        if revision < self._compacted:
            raise errors.Expired(f"revision {revision} has been compacted")
        state = dict(self._base)
        for event in self._history:
            if event.revision > revision:
                break
            if event.value is None:
                state.pop(event.key, None)
            else:
                state[event.key] = KeyValue(event.key, event.value, event.revision)
        return state
