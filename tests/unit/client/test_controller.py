"""The work loop: errors are retried, bugs are counted and retried, one bad key never stops the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from kubelab.apimachinery.errors import Conflict
from kubelab.client import runtimeerrors
from kubelab.client.controller import Reconciler, run_workers
from kubelab.client.workqueue import WorkQueue
from kubelab.rpc import tracing
from tests.support.clock import FakeClock


class FakeLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))

    def exception(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))


async def work(queue: WorkQueue[str], sync: Any, log: FakeLog, clock: FakeClock, seconds: float = 10) -> None:
    async with asyncio.TaskGroup() as group:
        workers = group.create_task(run_workers(queue, sync, workers=2, name="test", log=log))
        await clock.advance(seconds)
        workers.cancel()
    queue.check_invariants()


async def test_an_api_error_is_retried_with_back_off() -> None:
    clock, log, seen = FakeClock(), FakeLog(), list[float]()
    queue: WorkQueue[str] = WorkQueue(clock=clock, jitter=lambda: 0.0)

    async def sync(key: str) -> None:
        seen.append(clock.monotonic())
        if len(seen) < 4:
            raise Conflict("changed meanwhile")

    queue.add("a")
    await work(queue, sync, log, clock)
    assert seen == pytest.approx([0, 0.005, 0.015, 0.035])
    assert [values["reason"] for _, values in log.lines] == ["Conflict"] * 3
    assert queue.retries_of("a") == 0


async def test_a_bug_does_not_stop_the_others() -> None:
    runtimeerrors.set_strict(False)
    clock, log, done = FakeClock(), FakeLog(), list[str]()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    before = runtimeerrors.counts().get("test", 0)

    async def sync(key: str) -> None:
        if key == "poison":
            raise KeyError(key)
        done.append(key)

    for key in ("poison", "a", "b"):
        queue.add(key)
    await work(queue, sync, log, clock, seconds=0.001)
    assert sorted(done) == ["a", "b"]
    assert runtimeerrors.counts()["test"] == before + 1
    assert queue.statistics().waiting == 1


async def test_under_test_a_bug_is_a_failure() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=FakeClock())

    async def sync(key: str) -> None:
        raise KeyError(key)

    queue.add("poison")
    with pytest.raises(ExceptionGroup) as caught:
        await run_workers(queue, sync, workers=1, name="test", log=FakeLog())
    assert caught.group_contains(KeyError)


async def test_each_sync_is_a_trace_of_its_own() -> None:
    clock, traces = FakeClock(), set[str]()
    queue: WorkQueue[str] = WorkQueue(clock=clock)

    async def sync(key: str) -> None:
        here = tracing.current()
        assert here is not None
        traces.add(here.trace_id)

    for key in ("a", "b", "c"):
        queue.add(key)
    await work(queue, sync, FakeLog(), clock)
    assert len(traces) == 3


class Counting(Reconciler[str]):
    """Notes the keys that it syncs."""

    name = "counting"

    def __init__(self, queue: WorkQueue[str]) -> None:
        super().__init__(queue, structlog.get_logger())
        self.synced: list[str] = []

    def enqueue_all(self) -> None:
        self._queue.add("old")

    async def sync(self, key: str) -> None:
        self.synced.append(key)


async def test_a_reconciler_looks_at_everything_each_time_it_begins_to_lead() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    reconciler = Counting(queue)
    for lead in (1, 2):
        queue.add("new")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(reconciler.run(workers=2))
            await clock.settle()
            running.cancel()
        assert reconciler.synced == ["new", "old"] * lead
    queue.check_invariants()
