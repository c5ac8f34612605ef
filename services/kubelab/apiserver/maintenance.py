"""What api-servers do for etcd: forget old history
(upstream: https://github.com/kubernetes/apiserver/blob/master/pkg/storage/etcd3/compact.go)."""

from __future__ import annotations

import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import Absent, Put, Store, Unchanged

log = structlog.get_logger()
KEY = "compact_rev_key"  # upstream's; who writes it first in an interval compacts


class Compactor:
    """Compacts to the revision of one interval ago: a reader has that long to come back. Any number may run."""

    def __init__(self, store: Store, clock: Clock, interval: float) -> None:
        self._store, self._clock, self._interval = store, clock, interval
        self._written, self._revision = 0, 0  # of the key; what to compact to

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
            there = outcome.current[KEY]
            self._written, self._revision = (there.mod_revision if there else 0), outcome.revision
            return
        if self._revision:
            await self._store.compact(self._revision)
        self._written = self._revision = outcome.revision
