"""What every byte stream in both directions can do, and how two of them become one connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

CHUNK = 64 << 10  # bytes that one read takes


class ForwardError(ConnectionError):
    """A port that cannot be forwarded, or no longer; the message is the other side's."""


class Duplex(Protocol):
    """Each direction ends by itself, as TCP's do. What breaks off raises ConnectionError, in reads and in writes."""

    async def read(self) -> bytes:
        """Some bytes as they come; b"" when the other side writes no more."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when more may be sent."""
        ...

    async def write_eof(self) -> None:
        """Say that no more comes from here."""
        ...

    async def close(self) -> None:
        """End both directions now, whatever is still under way. A second time does nothing."""
        ...


class SocketDuplex:
    """A connected TCP or unix socket, which it owns from now on."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket, self._loop = sock, asyncio.get_running_loop()

    async def read(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._socket, CHUNK)
        except OSError as err:
            raise ConnectionResetError(str(err)) from err

    async def write(self, data: bytes) -> None:
        try:
            await self._loop.sock_sendall(self._socket, data)
        except OSError as err:
            raise ConnectionResetError(str(err)) from err

    async def write_eof(self) -> None:
        with contextlib.suppress(OSError):  # the other side has closed it already
            self._socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self._socket.close()


async def relay(one: Duplex, other: Duplex) -> None:
    """Carry bytes both ways until both directions have ended, or one has broken off, then close both.

    Raises what a broken direction raised: ForwardError before any other ConnectionError.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(one, other))
            group.create_task(_copy(other, one))
    except ExceptionGroup as failed:
        told = [err for err in failed.exceptions if isinstance(err, ForwardError)]
        raise (told or failed.exceptions)[0] from failed
    finally:
        try:
            await one.close()
        finally:
            await other.close()


async def _copy(source: Duplex, target: Duplex) -> None:
    while data := await source.read():
        await target.write(data)
    await target.write_eof()
