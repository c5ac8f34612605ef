"""The lines that a process has written: the end of its log file, and what is added while a client follows it.

One inotify descriptor serves every follower, since a machine has few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.files import rotation
from kubelab.linux import syscalls

CHUNK = 64 * 1024
KEEP_BYTES = 16 * 1024 * 1024
LOOK_SECONDS = 60.0  # between two looks at the sizes: an event for each line would cost more than the lines
_EVENT = struct.Struct("iIII")


class Follower:
    """Tells when files grow. :meth:`close` it."""

    def __init__(self) -> None:
        self._fd = syscalls.inotify()
        self._grown: dict[int, set[asyncio.Event]] = {}
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    @contextlib.contextmanager
    def watching(self, path: Path) -> Generator[asyncio.Event]:
        """Give an event that is set whenever the file was written to."""
        event = asyncio.Event()
        number = syscalls.inotify_add_watch(self._fd, path, syscalls.IN_MODIFY)
        self._grown.setdefault(number, set()).add(event)
        try:
            yield event
        finally:
            self._grown[number].discard(event)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, CHUNK)
            offset = 0
            while offset < len(data):
                number, _, _, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + length
                for event in self._grown.get(number, ()):
                    event.set()


async def read(follower: Follower, path: Path, *, tail: int = 0, follow: bool = False) -> AsyncGenerator[bytes]:
    """Give a log file's last ``tail`` lines (0: all) in pieces, and with ``follow`` what comes after, for ever."""
    await asyncio.to_thread(path.touch, 0o600)
    with path.open("rb") as file, follower.watching(path) as grown:
        await asyncio.to_thread(_seek, file.fileno(), tail)
        while True:
            grown.clear()  # before reading: what is written from here on sets it again
            data = await asyncio.to_thread(file.read, CHUNK)
            if data:
                yield data
            elif not follow:
                return
            elif os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # rotated meanwhile
            else:
                await grown.wait()


async def keep_small(paths: Sequence[Path], clock: Clock, log: structlog.typing.FilteringBoundLogger) -> None:
    """Turn over every log that has grown large, again and again, until cancelled."""
    while True:
        for path in paths:
            try:
                await asyncio.to_thread(rotation.by_copying, path, KEEP_BYTES)
            except OSError as err:  # a full disk, say: the log only goes on growing
                log.warning("log not rotated", path=str(path), error=str(err))
        await clock.sleep(LOOK_SECONDS)


def _seek(fd: int, lines: int) -> None:
    """Move to the start of the last so many lines."""
    if not lines:
        return
    position, newline = os.fstat(fd).st_size, -1  # the newline that ends the last line does not count
    if position and os.pread(fd, 1, position - 1) != b"\n":
        newline = 0
    while position > 0:
        begin = max(0, position - CHUNK)
        piece = os.pread(fd, position - begin, begin)
        for n in range(len(piece) - 1, -1, -1):
            if piece[n] == 10:
                newline += 1
                if newline == lines:
                    os.lseek(fd, begin + n + 1, os.SEEK_SET)
                    return
        position = begin
    os.lseek(fd, 0, os.SEEK_SET)
