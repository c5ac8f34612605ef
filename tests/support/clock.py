"""A clock for tests: it stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
TURNS = 50  # of the event loop after each wake-up, so that what was woken can run until it waits again


class FakeClock:
    """``time`` and ``monotonic`` stand still; :meth:`advance` moves them and wakes sleepers in order.

    With ``auto=True`` the clock jumps to the next sleeper by itself as soon as nothing else runs, so that a test need
    not know how long anything takes. It judges "nothing runs" by turns of the loop: not for tests with real I/O.
    """

    def __init__(self, start: float = START, *, auto: bool = False) -> None:
        self._wall, self._now = start, 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._auto = auto
        self._driver: asyncio.Task[None] | None = None

    def time(self) -> float:
        return self._wall + self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._sequence, wake))
        if self._auto and (self._driver is None or self._driver.done()):
            self._driver = asyncio.get_running_loop().create_task(self._drive(), name="fake-clock")
        await wake

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return self._timeout(seconds)

    @contextlib.asynccontextmanager
    async def _timeout(self, seconds: float | None) -> AsyncGenerator[None]:
        if seconds is None:
            yield
            return
        # asyncio.timeout does the cancelling, correctly; this clock only decides when.
        async with asyncio.timeout(None) as scope:
            expire = asyncio.get_running_loop().create_task(self._expire(scope, seconds), name="fake-timeout")
            try:
                yield
            finally:
                expire.cancel()

    async def _expire(self, scope: asyncio.Timeout, seconds: float) -> None:
        await self.sleep(seconds)
        scope.reschedule(asyncio.get_running_loop().time())

    @property
    def sleepers(self) -> int:
        """How many wait for this clock."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    @property
    def next_at(self) -> float | None:
        """Seconds until the next sleeper wakes; None without a sleeper."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return max(0.0, self._sleepers[0][0] - self._now) if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Move on by so many seconds; sleepers wake on the way at their own times, in order."""
        until = self._now + seconds
        await self.settle()
        while (wait := self.next_at) is not None and self._now + wait <= until:
            self._wake_next()
            await self.settle()
        self._now = until
        await self.settle()

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as for a process that was frozen."""
        self._now += seconds

    async def settle(self) -> None:
        """Let everything run that can, until it waits."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _wake_next(self) -> None:
        when, _, wake = heapq.heappop(self._sleepers)
        self._now = max(self._now, when)
        if not wake.done():
            wake.set_result(None)

    async def _drive(self) -> None:
        while self.next_at is not None:
            await self.settle()
            if self.sleepers:
                self._wake_next()
