"""Calls of one sync that do not depend on each other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

R = TypeVar("R")
AT_ONCE = 64


async def gather_limited(calls: Iterable[Coroutine[Any, Any, R]], at_once: int = AT_ONCE) -> list[R]:
    """Run calls side by side, so many at once, and return their results in order. The first exception ends them all
    and is raised as it is, not in a group."""
    slots = asyncio.Semaphore(at_once)

    async def run(call: Coroutine[Any, Any, R]) -> R:
        async with slots:
            return await call

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
