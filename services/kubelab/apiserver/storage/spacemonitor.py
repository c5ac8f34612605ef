"""What an api-server does when etcd is full: it says so, compacts and defragments until there is room.

Serial: one task. A write that is refused wakes it; it looks once at the start and once in a while besides, for another
api-server may have met the quota. While etcd is full, deletions go on, and each of them makes room for the next round.
"""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Gauge

from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff, jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import Store

log = structlog.get_logger()

PAUSES = ExponentialBackoff(1.5, 45.0)  # between two rounds; several api-servers rarely do the same at once
LOOK_SECONDS = 60.0
FULL = "etcd's quota is reached: nothing can be written until objects are deleted"


class SpaceMonitor:
    """``full`` says whether etcd takes anything new."""

    def __init__(self, store: Store, clock: Clock, metrics: CollectorRegistry) -> None:
        self._store, self._clock = store, clock
        self.full = False
        self._refused = asyncio.Event()
        gauge = Gauge("apiserver_storage_full", "Whether etcd's quota is reached.", registry=metrics)
        gauge.set_function(lambda: float(self.full))

    @property
    def note(self) -> str:
        """What readiness adds to its answer."""
        return FULL if self.full else ""

    def refused(self) -> None:
        """Note that etcd has refused a write because it is full."""
        self._refused.set()

    async def run(self) -> None:
        """Look, and make room, until cancelled."""
        while True:
            try:
                self._refused.clear()
                await self._look()
                async with self._clock.timeout(LOOK_SECONDS):
                    await self._refused.wait()
            except TimeoutError:
                continue
            except errors.ApiError as err:
                log.warning("cannot see whether etcd is full", reason=err.reason, message=err.message)
                await self._clock.sleep(jittered(PAUSES.cap))

    async def _look(self) -> None:
        rounds, tried = 1, 0
        while await self._store.full():
            if not self.full:
                log.error("etcd is full: it takes nothing new until objects are deleted")
                self.full = True
            await self._clock.sleep(PAUSES.delay(rounds))
            revision = await self._store.revision()
            # It answers nothing while it is defragmented: only where something was deleted since the last time.
            rounds = 1 if revision != tried and await self._make_room(revision) else rounds + 1
            tried = revision
        if self.full:
            log.warning("etcd takes what is new again")
        self.full = False

    async def _make_room(self, revision: int) -> bool:
        await self._store.compact(revision)
        return await self._store.make_room()
