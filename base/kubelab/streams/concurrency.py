"""Sides of one stream that run at the same time, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any


async def until_first(*sides: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one has ended, then cancel the others. Raises what the first one to fail raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(side) for side in sides]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def wait_for_end(generator: AsyncGenerator[None]) -> None:
    """Wait until a generator has ended."""
    async for _ in generator:
        pass
