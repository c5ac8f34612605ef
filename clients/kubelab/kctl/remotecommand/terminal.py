"""The terminal that kctl was started in: raw while a command of a container has it, and its size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncGenerator, Generator


def is_terminal(fd: int) -> bool:
    return os.isatty(fd)


@contextlib.contextmanager
def raw(fd: int) -> Generator[None]:
    """Pass every key on, also those that would stop a program, and leave the terminal as it was."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)  # what was typed already stays
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def size(fd: int) -> tuple[int, int]:
    """Width and height; 0 and 0 where it has none."""
    try:
        return os.get_terminal_size(fd)
    except OSError:
        return 0, 0


async def sizes(fd: int) -> AsyncGenerator[tuple[int, int]]:
    """Give the size, and each one that it has later (SIGWINCH)."""
    changed = asyncio.Event()
    changed.set()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in a main thread
        loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            await changed.wait()
            changed.clear()
            if all(now := size(fd)):
                yield now
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGWINCH)


class Input:
    """A descriptor of this process, such as standard input. Its mode is left alone: others have it open, too."""

    def __init__(self, fd: int) -> None:
        self._fd, self._loop = fd, asyncio.get_running_loop()

    async def read(self) -> bytes:
        """Some bytes, b"" at the end."""
        readable: asyncio.Future[None] = self._loop.create_future()
        try:
            self._loop.add_reader(self._fd, _done, readable)
        except PermissionError:  # a file on disk, which need not be waited for
            return await asyncio.to_thread(os.read, self._fd, 65536)
        try:
            await readable
        finally:
            self._loop.remove_reader(self._fd)
        try:
            return os.read(self._fd, 32768)
        except OSError:  # a terminal that has hung up
            return b""


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def write(data: bytes, *, error: bool = False) -> None:
    """Print what a command has printed, as it is. Whoever is slow to take it slows the command down."""
    stream = (sys.stderr if error else sys.stdout).buffer
    stream.write(data)
    stream.flush()
