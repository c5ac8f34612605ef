"""Memory is given back once much of it was freed, and not for little."""

from __future__ import annotations

import asyncio

from kubelab.apiserver import memory
from tests.support.clock import FakeClock


async def test_one_trim_for_all_that_is_freed_within_some_seconds() -> None:
    clock, trims = FakeClock(), list[float]()
    trimmer = memory.Trimmer(clock, lambda: trims.append(clock.monotonic()))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(trimmer.run())
        trimmer.freed(memory.WORTH - 1)
        await clock.advance(60)
        assert not trims
        trimmer.freed(1)
        await clock.settle()
        trimmer.freed(10 * memory.WORTH)
        await clock.advance(memory.SETTLE_SECONDS)
        async with asyncio.timeout(10):
            while not trims:
                await asyncio.to_thread(int)
        await clock.advance(60)
        assert len(trims) == 1
        task.cancel()


def test_this_machine_can() -> None:
    memory.trim()
