"""Pipes, terminals and sockets of other processes, read and written by the event loop."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import Protocol

from kubelab.streams.duplex import CHUNK


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Descriptor:
    """A descriptor, which it owns from now on. One may read and one may write at a time."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd, self._loop = fd, asyncio.get_running_loop()
        self._finished = False
        self._reading: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Some bytes as they come, b"" at the end: of a terminal too, when nobody has it open any more."""
        while self.fd >= 0:
            try:
                return os.read(self.fd, CHUNK)
            except BlockingIOError:
                if self._finished:
                    return b""
            except OSError:  # EIO
                return b""
            self._reading = self._loop.create_future()
            self._loop.add_reader(self.fd, _set, self._reading)
            try:
                await self._reading
            finally:
                self._loop.remove_reader(self.fd)
        return b""

    def finish(self) -> None:
        """Let reads give what is there by now, and then the end: no more comes that counts."""
        self._finished = True
        if self._reading is not None:
            _set(self._reading)

    async def write(self, data: bytes) -> None:
        """Write all; returns when more may be written. ConnectionError where nobody reads any more."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                writable: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_writer(self.fd, _set, writable)
                try:
                    await writable
                finally:
                    self._loop.remove_writer(self.fd)
            except OSError as err:
                raise ConnectionResetError(str(err)) from err

    def close(self) -> None:
        """Close it; a second time does nothing. Nobody may be reading or writing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def receive_descriptor(sock: socket.socket) -> int | None:
    """Wait for a descriptor that the other end of a unix socket sends; None where it ends without."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, _set, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)
    _, fds, _, _ = socket.recv_fds(sock, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    return fds[0] if fds else None


async def hung_up(sock: HasFileno) -> None:
    """Wait until the other end of a connection has gone, also while nobody reads here what it has sent before."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    with select.epoll() as watch:
        watch.register(sock.fileno(), select.EPOLLRDHUP)
        loop.add_reader(watch, _set, gone)
        try:
            await gone
        finally:
            loop.remove_reader(watch)
