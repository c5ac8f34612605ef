"""A store that is watched: how long each call took, for metrics and for the request that it was made for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextvars import ContextVar

from prometheus_client import CollectorRegistry, Histogram

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import Condition, Operation, Outcome, Page, Store, StoreEvent

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class StoreTime:
    """Seconds that a request has waited for the store."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


STORE_TIME: ContextVar[StoreTime | None] = ContextVar("kubelab_store_time", default=None)


def spend(seconds: float) -> None:
    """Count time as the store's, for the request of this task."""
    spent = STORE_TIME.get()
    if spent is not None:
        spent.seconds += seconds


class ObservedStore:
    """Hands every call on to a store and measures it."""

    def __init__(self, store: Store, registry: CollectorRegistry, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.on_full: Callable[[], None] = lambda: None  # called when a write was refused because the store is full
        took = Histogram(
            "etcd_request_duration_seconds",
            "Time of one call to etcd.",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._took = {name: took.labels(name) for name in ("range", "revision", "transact", "lease", "compact")}

    async def close(self) -> None:
        await self._store.close()

    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        with self._measured("range"):
            return await self._store.range(start, end, limit=limit, revision=revision, keys_only=keys_only)

    async def revision(self) -> int:
        with self._measured("revision"):
            return await self._store.revision()

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        with self._measured("transact"):
            try:
                return await self._store.transact(conditions, operations)
            except errors.ApiError as err:
                if errors.out_of_space(err):
                    self.on_full()
                raise

    def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        return self._store.watch(start_revision)

    async def grant_lease(self, ttl_seconds: int) -> int:
        with self._measured("lease"):
            return await self._store.grant_lease(ttl_seconds)

    async def keep_lease(self, lease: int) -> bool:
        with self._measured("lease"):
            return await self._store.keep_lease(lease)

    async def revoke_lease(self, lease: int) -> None:
        with self._measured("lease"):
            await self._store.revoke_lease(lease)

    async def compact(self, revision: int) -> None:
        with self._measured("compact"):
            await self._store.compact(revision)

    async def full(self) -> bool:
        return await self._store.full()

    async def make_room(self) -> bool:
        return await self._store.make_room()

    @contextlib.contextmanager
    def _measured(self, operation: str) -> Generator[None]:
        started = self._clock.monotonic()
        try:
            yield
        finally:
            took = self._clock.monotonic() - started
            self._took[operation].observe(took)
            spend(took)
