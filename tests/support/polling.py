"""For what nothing tells of: looking again, in the one place where tests may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.005


async def until_true(condition: Callable[[], object], *, within: float) -> None:
    """Wait by polling, for states that have no event: the kernel's processes, a file in an unwatched place."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(within):
        while not condition():
            again = asyncio.Event()
            loop.call_later(LOOK_SECONDS, again.set)
            await again.wait()


async def until_answered(condition: Callable[[], Awaitable[object]], *, within: float) -> None:
    """The same for what has to be asked for: a server that has no stream of events."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(within):
        while not await condition():
            again = asyncio.Event()
            loop.call_later(LOOK_SECONDS, again.set)
            await again.wait()
