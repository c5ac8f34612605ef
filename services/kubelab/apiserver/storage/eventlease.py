"""Events live for an hour: by an etcd lease, one for all events of a minute."""

from __future__ import annotations

import asyncio

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import Store

SHARED_FOR = 60.0  # seconds


class EventLease:
    """Gives the lease that an event is written with. ``ttl`` is in seconds."""

    def __init__(self, store: Store, clock: Clock, ttl: int = 3600) -> None:
        self._store, self._clock, self._ttl = store, clock, ttl
        self._lease, self._until = 0, 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> int:
        """A lease that lasts at least ``ttl`` from now."""
        if self._lease and self._clock.monotonic() < self._until:
            return self._lease
        async with self._lock:
            if not self._lease or self._clock.monotonic() >= self._until:
                until = self._clock.monotonic() + SHARED_FOR
                self._lease = await self._store.grant_lease(self._ttl + int(SHARED_FOR))
                self._until = until
            return self._lease
