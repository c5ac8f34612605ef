"""What api-servers do for etcd: forget old history
(upstream: https://github.com/kubernetes/apiserver/blob/master/pkg/storage/etcd3/compact.go), and remove the receipts
that processes left when they ended."""

from __future__ import annotations

import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage import receipts
from kubelab.apiserver.storage.store import Absent, Delete, Put, Store, Unchanged, prefix_end

log = structlog.get_logger()
KEY = "compact_rev_key"  # upstream's; the api-server that writes it first in an interval compacts
_PAGE, _CHUNK = 500, 50  # keys that are read, and removed, at once


class Compactor:
    """Compacts to the revision of one interval ago: a reader has that long to come back. Any number may run."""

    def __init__(self, store: Store, clock: Clock, interval: float) -> None:
        self._store, self._clock, self._interval = store, clock, interval
        self._written, self._revision = 0, 0  # of the key; what to compact to
        self._left = LeftReceipts(store, clock)

    async def run(self) -> None:
        """One step each interval, until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.step()
            except errors.ApiError as err:
                log.warning("cannot compact etcd, will try again", reason=err.reason, message=err.message)

    async def step(self) -> None:
        """Compact, if no other api-server has in this interval."""
        condition = Unchanged(KEY, self._written) if self._written else Absent(KEY)
        outcome = await self._store.transact([condition], [Put(KEY, str(self._revision).encode())])
        if not outcome.succeeded:
            stored = outcome.current[KEY]
            self._written, self._revision = (stored.mod_revision if stored else 0), outcome.revision
            return
        if self._revision:
            await self._store.compact(self._revision)
        self._written = self._revision = outcome.revision
        await self._left.step()


class LeftReceipts:
    """Removes receipts that were not written for :data:`receipts.KEPT_SECONDS`, as this process has seen."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._seen: dict[str, tuple[int, float]] = {}  # by key: its revision, and since when it has had it

    async def step(self) -> None:
        """Look once; remove what has not changed for long enough."""
        now = self._clock.monotonic()
        seen: dict[str, tuple[int, float]] = {}
        start = receipts.ROOT
        while True:
            page = await self._store.range(start, prefix_end(receipts.ROOT), limit=_PAGE, keys_only=True)
            for kv in page.items:
                revision, since = self._seen.get(kv.key, (0, now))
                seen[kv.key] = (kv.mod_revision, since if revision == kv.mod_revision else now)
            if not page.more:
                break
            start = page.items[-1].key + "\0"
        self._seen = seen
        old = [(key, revision) for key, (revision, since) in seen.items() if now - since >= receipts.KEPT_SECONDS]
        for at in range(0, len(old), _CHUNK):
            chunk = old[at : at + _CHUNK]
            # A receipt that is used again in this moment stays, with those beside it, until the next look.
            await self._store.transact([Unchanged(*each) for each in chunk], [Delete(key) for key, _ in chunk])
