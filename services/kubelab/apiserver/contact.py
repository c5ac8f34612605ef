"""Is etcd heard? A server that has lost it knows nothing new: whoever watches there must be told, or waits for ever.

::

               failed()                  LOST_AFTER without heard()
    kept ──────────────────▶ in doubt ─────────────────────────────▶ lost
      ▲                          │                                    │
      └───────────── heard() ────┴────────────────────────────────────┘

Upstream's cacher ends its watches when its own watch of etcd ends, and takes none until it follows again. Serial: one
task measures the doubt; the feed says what it meets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock

LOST_AFTER = 2.0  # seconds: etcd may elect a leader, or start again, before anybody is sent away


class Contact:
    """``on_lost`` is called at each loss; ``turned`` is set at each change of ``kept``."""

    def __init__(self, clock: Clock, on_lost: Callable[[], None]) -> None:
        self._clock, self._on_lost = clock, on_lost
        self.kept = False
        self.turned = asyncio.Event()
        self._doubt = asyncio.Event()
        self._heard = asyncio.Event()

    def heard(self) -> None:
        """The store has said something, if only that it is there."""
        self._doubt.clear()
        self._heard.set()
        if not self.kept:
            self.kept = True
            self.turned.set()

    def failed(self) -> None:
        """The store has not answered, or has ended the watch."""
        self._heard.clear()
        self._doubt.set()

    def check(self) -> None:
        """Refuse, in words that send the caller to another server, while the store is lost."""
        if not self.kept:
            raise errors.nothing_done("the server has lost etcd and cannot tell what is new")

    async def run(self) -> None:
        """Judge until cancelled."""
        while True:
            await self._doubt.wait()
            try:
                async with self._clock.timeout(LOST_AFTER):
                    await self._heard.wait()
            except TimeoutError:
                if self._heard.is_set():
                    continue  # in the very moment
                self.kept = False
                self.turned.set()
                self._on_lost()
                await self._heard.wait()
