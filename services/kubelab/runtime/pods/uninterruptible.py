"""Calls that are carried out to their end, although the caller hangs up in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

T = TypeVar("T")


class Uninterruptible:
    """Owns the tasks of the calls; :meth:`finish` waits for them."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._under_way: set[asyncio.Future[Any]] = set()

    async def run(self, call: Coroutine[object, object, T]) -> T:
        """Carry a call out, also when the caller is cancelled; gives what it gives, raises what it raises."""
        task = asyncio.ensure_future(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.add_done_callback(self._log_failure)
            raise
        return task.result()

    def _log_failure(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and (err := task.exception()):
            self._log.warning("a call failed after its caller hung up", error=str(err))

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, so many seconds at most."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
