"""Give memory back to the system after much of it was freed.

glibc keeps freed memory of blocks up to 32 MiB for later: an api-server that once held a lot stays as large for good.
``malloc_trim`` (https://man7.org/linux/man-pages/man3/malloc_trim.3.html) gives it back, in some ten milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

from kubelab.apimachinery.clock import Clock

WORTH = 32 * 1024 * 1024  # freed bytes
SETTLE_SECONDS = 5.0  # while more may be freed, and what is being sent goes out


def trim() -> None:
    """Give back what is free; nothing where the C library cannot."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


class Trimmer:
    """Trims some seconds after enough was freed, in a thread."""

    def __init__(self, clock: Clock, trim: Callable[[], None] = trim) -> None:
        self._clock, self._trim = clock, trim
        self._freed = 0
        self._wanted = asyncio.Event()

    def freed(self, size: int) -> None:
        """Note that so many bytes were freed."""
        self._freed += size
        if self._freed >= WORTH:
            self._wanted.set()

    async def run(self) -> None:
        """Trim until cancelled."""
        while True:
            await self._wanted.wait()
            await self._clock.sleep(SETTLE_SECONDS)
            self._freed = 0
            self._wanted.clear()
            await asyncio.to_thread(self._trim)
