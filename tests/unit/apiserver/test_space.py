"""When etcd is full: what an api-server says, and how often it tries to make room."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from kubelab.apimachinery import errors
from kubelab.apiserver.storage import spacemonitor
from kubelab.apiserver.storage.spacemonitor import SpaceMonitor
from kubelab.apiserver.storage.store import Put
from tests.support.clock import FakeClock
from tests.support.memorystore import MemoryStore


async def test_it_tries_again_and_again_until_there_is_room() -> None:
    clock, metrics = FakeClock(), CollectorRegistry()
    store, rounds = MemoryStore(clock), list[float]()

    def note(call: str) -> None:
        if call == "make_room":
            rounds.append(clock.monotonic())

    store.fail = note
    it = SpaceMonitor(store, clock, metrics)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.run())
        await clock.settle()
        assert (it.full, it.note, metrics.get_sample_value("apiserver_storage_full")) == (False, "", 0.0)
        store.is_full = True
        it.refused()
        await clock.settle()
        assert (it.full, it.note, metrics.get_sample_value("apiserver_storage_full")) == (True, spacemonitor.FULL, 1.0)
        await clock.advance(300)
        assert len(rounds) == 1, "only what changes can make room"
        for n in range(20):
            await store.transact([], [Put("/deleted", str(n).encode())])
            await clock.advance(20)
        assert 8 <= len(rounds) <= 21, "with pauses of half a minute"
        await store.transact([], [Put("/deleted", b"")])
        store.can_be_freed = True
        await clock.advance(2 * spacemonitor.PAUSES.cap)
        assert (it.full, it.note) == (False, "")
        task.cancel()


async def test_it_finds_out_by_itself_and_survives_etcd_s_absence() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)

    def away(call: str) -> None:
        raise errors.Unavailable("etcd is away")

    store.fail = away
    it = SpaceMonitor(store, clock, CollectorRegistry())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.run())
        await clock.advance(spacemonitor.PAUSES.cap / 2)
        store.fail = lambda call: None
        store.is_full = True
        await clock.advance(spacemonitor.LOOK_SECONDS + spacemonitor.PAUSES.cap)
        assert it.full
        task.cancel()
