"""Follows a file's growth: the kernel tells (inotify), nothing is polled where it does.

One inotify instance per follower; its descriptor is read by the event loop. Where the kernel has none left, the
follower looks once in :data:`POLL_SECONDS` instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from kubelab.apimachinery.clock import Clock
from kubelab.kubelet.logs.reader import LogQuery, LogReader
from kubelab.linux import syscalls
from kubelab.linux.folderwatch import FolderWatch

POLL_SECONDS = 0.5
_GROWTH = syscalls.IN_MODIFY | syscalls.IN_CREATE | syscalls.IN_MOVED_TO  # it grows, appears or is renamed into


async def read_log(
    path: str,
    query: LogQuery,
    *,
    clock: Clock,
    ended: Callable[[], bool] = lambda: True,
    end: asyncio.Event | None = None,
) -> AsyncGenerator[bytes]:
    """Give a log's bytes; with ``follow``, until ``ended()`` says that the container writes no more.

    ``end`` is set whenever that answer may have changed. Files are read off the event loop, a chunk at a time, so a
    slow reader holds up no other. Raises FileNotFoundError.
    """
    reader = await asyncio.to_thread(LogReader, path, query)
    watch: FolderWatch | None = None
    try:
        if query.follow:
            watch = _watch(str(Path(path).parent))
        while not reader.full:
            over = ended()  # asked before the last read: what was written before the end is read
            if watch is not None:
                watch.changed.clear()
            while data := await asyncio.to_thread(reader.read):
                yield data
            if not query.follow or reader.full:
                return
            if await asyncio.to_thread(reader.replaced):
                while data := await asyncio.to_thread(reader.read):  # the last words in the old file
                    yield data
                reader.turn()
                continue
            if over:
                return
            await _something(clock, watch, end)
    finally:
        if watch is not None:
            watch.close()
        reader.close()


def _watch(folder: str) -> FolderWatch | None:
    try:
        return FolderWatch(folder, _GROWTH)
    except OSError:
        return None


async def _something(clock: Clock, watch: FolderWatch | None, end: asyncio.Event | None) -> None:
    """Wait for the file to grow, for the container to end, or, without inotify, for a moment."""
    waits = [e.wait() for e in (watch.changed if watch else None, end) if e is not None]
    if watch is None:
        waits.append(clock.sleep(POLL_SECONDS))  # type: ignore[arg-type]
    tasks = [asyncio.ensure_future(w) for w in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if end is not None:
        end.clear()
