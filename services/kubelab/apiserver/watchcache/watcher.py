"""What waits for the client of one watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.watchcache.changes import BOOKMARK, Change, Selection


class Watcher:
    """One watch: iterate it. ``left`` is called when it ends.

    It is closed when the server stops: it ends after what waits. It is cut off when its client takes nothing, or not
    enough: what waits is dropped, and the call ends as soon as the client reads again. The client goes on from the
    revision that it has seen, or lists again where that is forgotten.
    """

    def __init__(self, selection: Selection, bookmarks: bool, left: Callable[[Watcher], None]) -> None:
        self.selection, self.bookmarks = selection, bookmarks
        self._left = left
        self._first: deque[tuple[int, Change | int]] = deque()  # what it begins with, however much that is
        self._backlog: deque[tuple[int, Change | int]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._taken = self._looked = 0  # events that the client took, now and at the last look

    def offer(self, change: Change) -> None:
        event = None if self._closed else change.seen_by(self.selection)
        if event is None:
            return
        self._backlog.append((event, change))
        self._wake.set()

    def offer_bookmark(self, revision: int) -> None:
        """Say how far the watch is, if the client wants to know and has read everything before."""
        if not self.bookmarks or self._closed:
            return
        if self._backlog and self._backlog[-1][0] == BOOKMARK:
            self._backlog.pop()  # not read yet
        self._backlog.append((BOOKMARK, revision))
        self._wake.set()

    def resume(self, changes: Iterable[tuple[int, Change]]) -> None:
        """Say what was missed since the client's revision, before all that happens from now on."""
        self._backlog.extend(changes)
        self._wake.set()

    def begin(self, changes: Iterable[tuple[int, Change | int]]) -> None:
        """Say what is there, before all that happens from now on."""
        self._first.extend(changes)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._left(self)
        self._wake.set()

    def cut(self) -> int:
        """Close it without what waits; gives the bytes of that."""
        waiting = [change for _, change in (*self._first, *self._backlog) if not isinstance(change, int)]
        self._first.clear()
        self._backlog.clear()
        self.close()
        return sum(change.size for change in waiting)

    def behind(self, floor: int) -> bool:
        """Say whether something waits that is not remembered any more."""
        if not self._backlog:
            return False
        change = self._backlog[0][1]
        return (change if isinstance(change, int) else change.revision) <= floor

    def deaf(self) -> bool:
        """Say whether the client has taken nothing since this was asked last, though something waits."""
        before, self._looked = self._looked, self._taken
        return before == self._taken and bool(self._first or self._backlog)

    async def events(self, clock: Clock, seconds: float) -> AsyncGenerator[tuple[int, Change | int]]:
        """Event types with their change, for so long; a bookmark has its revision instead of a change."""
        stop_at = clock.monotonic() + seconds
        try:
            while True:
                while waiting := self._first or self._backlog:
                    self._taken += 1
                    yield waiting.popleft()
                if self._closed:
                    return
                self._wake.clear()
                try:
                    async with clock.timeout(stop_at - clock.monotonic()):  # never around a yield: it cancels the task
                        await self._wake.wait()
                except TimeoutError:
                    return
        finally:
            self.close()
