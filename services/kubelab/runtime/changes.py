"""Changes that have begun and are brought to their end, also when whoever asked for them has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

T = TypeVar("T")


class Changes:
    """Owns the tasks of its changes; :meth:`finish` waits for them."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._under_way: set[asyncio.Future[Any]] = set()

    async def to_the_end(self, change: Coroutine[object, object, T]) -> T:
        """Make a change, which goes on when the caller is cancelled; gives what it gives, raises what it raises."""
        task = asyncio.ensure_future(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.add_done_callback(self._told_nobody)
            raise
        return task.result()

    def _told_nobody(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and (err := task.exception()):
            self._log.warning("a change failed whose caller has gone", error=str(err))

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, so many seconds at most."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
