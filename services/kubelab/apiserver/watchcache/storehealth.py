"""Whether the store answers. While it does not, an api-server learns nothing new, so it must not keep its watches.

::

               failed()                 LOST_AFTER without succeeded()
    healthy ───────────────▶ suspected ─────────────────────────────▶ lost
      ▲                          │                                    │
      └─────────── succeeded() ──┴────────────────────────────────────┘

Upstream's cacher ends its watches when its own watch of etcd ends, and takes none until it follows again. Serial: one
task measures how long failures last; the reflector reports its successes and failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock

LOST_AFTER = 2.0  # seconds in which etcd may elect a leader or start again before the watches end


class StoreHealth:
    """``on_lost`` is called at each loss; ``changed`` is set at each change of ``healthy``."""

    def __init__(self, clock: Clock, on_lost: Callable[[], None]) -> None:
        self._clock, self._on_lost = clock, on_lost
        self.healthy = False
        self.changed = asyncio.Event()
        self._suspected = asyncio.Event()
        self._succeeded = asyncio.Event()

    def succeeded(self) -> None:
        """Note that the store has sent or answered something."""
        self._suspected.clear()
        self._succeeded.set()
        if not self.healthy:
            self.healthy = True
            self.changed.set()

    def failed(self) -> None:
        """Note that the store has not answered, or has ended the watch."""
        self._succeeded.clear()
        self._suspected.set()

    def check(self) -> None:
        """Refuse, in words that send the caller to another server, while the store is lost."""
        if not self.healthy:
            raise errors.not_executed("the server has lost etcd and cannot tell what is new")

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self._suspected.wait()
            try:
                async with self._clock.timeout(LOST_AFTER):
                    await self._succeeded.wait()
            except TimeoutError:
                if self._succeeded.is_set():
                    continue  # it succeeded just as the time ran out
                self.healthy = False
                self.changed.set()
                self._on_lost()
                await self._succeeded.wait()
