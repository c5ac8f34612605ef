"""How much of the past the caches remember: one budget of bytes for all resources together.

When it is spent, the resource that holds most forgets its oldest changes: one busy resource does not make the watchers
of the others list again. What waits for a watcher is among the changes that its resource remembers: one that is further
behind is cut off, so that what watchers hold is within the budget too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kubelab.apiserver.watchcache.changes import Change

MAX_BYTES = 64 * 1024 * 1024  # of all changes that are remembered
MAX_CHANGES = 8192  # of one resource
LEFT = 7 / 8  # of a limit that was passed: forgetting is done in pieces


class Ring:
    """The latest changes of one resource. ``floor``: those after this revision are all there."""

    def __init__(self, forgotten: Callable[[], None]) -> None:
        self.changes: deque[Change] = deque()
        self.bytes = 0
        self.floor = 0
        self.forgotten = forgotten  # called after the floor has moved

    def forget(self) -> int:
        """Drop the oldest change; gives its bytes."""
        change = self.changes.popleft()
        size = change.size
        self.floor, self.bytes = change.revision, self.bytes - size
        return size


class History:
    """The rings of all resources. ``on_forget`` is called with the bytes that were dropped."""

    def __init__(self, on_forget: Callable[[int], None] = lambda _: None) -> None:
        self.bytes = 0
        self.on_forget = on_forget
        self._rings: list[Ring] = []

    def ring(self, forgotten: Callable[[], None]) -> Ring:
        """A ring for one more resource."""
        self._rings.append(Ring(forgotten))
        return self._rings[-1]

    def drop(self, ring: Ring) -> None:
        """Forget a ring and all that it remembers."""
        self.clear(ring, ring.floor)
        if ring in self._rings:
            self._rings.remove(ring)

    def add(self, ring: Ring, change: Change) -> None:
        """Remember a change, and forget what is too much."""
        size = change.size
        ring.changes.append(change)
        ring.bytes += size
        self.bytes += size
        if len(ring.changes) > MAX_CHANGES:
            self._forget([ring], lambda: len(ring.changes) > MAX_CHANGES * LEFT)
        if self.bytes > MAX_BYTES:
            self._forget(self._rings, lambda: self.bytes > MAX_BYTES * LEFT)

    def clear(self, ring: Ring, revision: int) -> None:
        """Begin anew at a revision."""
        self.bytes -= ring.bytes
        ring.changes.clear()
        ring.bytes, ring.floor = 0, revision

    def _forget(self, rings: list[Ring], too_much: Callable[[], bool]) -> None:
        dropped = 0
        touched: list[Ring] = []
        while too_much():
            largest = max(rings, key=lambda ring: ring.bytes)
            if len(largest.changes) < 2:
                break  # the newest is remembered at any size
            size = largest.forget()
            self.bytes -= size
            dropped += size
            if largest not in touched:
                touched.append(largest)
        for ring in touched:
            ring.forgotten()
        self.on_forget(dropped)
