"""A connection of an aiohttp server that goes on as something else than HTTP/1.1: SPDY, or whatever a proxied server
speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kubelab.apimachinery.clock import Clock
from kubelab.streams.concurrency import until_first
from kubelab.streams.duplex import CHUNK

CLOSE_SECONDS = 1.0  # for the other side of a connection to say goodbye
_LIMIT = 256 << 10  # bytes that wait to be read


class TakenOver(web.StreamResponse):
    """Stands for the answer that was written by hand; the connection ends with it."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the head was sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the connection is over."""


class _Feed:
    """What aiohttp gives a connection's bytes to, in the place of a parser of WebSocket frames."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class RawConnection:
    """The client's connection as a byte stream, after its request. ``head`` is sent first, as it is."""

    def __init__(self, raw: web.BaseRequest, head: bytes) -> None:
        transport = raw.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._transport, self._protocol = transport, raw.protocol
        self._reader = asyncio.StreamReader(_LIMIT)
        transport.write(head)
        feed: Any = _Feed(self._reader)
        self._protocol.set_parser(feed)
        self._reader.set_transport(transport)

    async def read(self) -> bytes:
        return await self._reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._protocol._drain_helper()  # pyright: ignore[reportPrivateUsage]

    async def write_eof(self) -> None:
        """Nothing: TLS ends both directions together, with :meth:`close`."""

    async def close(self) -> None:
        self._transport.close()


def switching(headers: Sequence[tuple[str, str]]) -> bytes:
    """Give the head of an answer 101."""
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


async def until_either_ends(client: RawConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one direction has ended, then close both: TLS does not end one alone."""

    async def upwards() -> None:
        while data := await client.read():
            writer.write(data)
            await writer.drain()

    async def downwards() -> None:
        while data := await reader.read(CHUNK):
            await client.write(data)

    try:
        await until_first(upwards(), downwards())
    finally:
        writer.close()
        await client.close()


async def close(writer: asyncio.StreamWriter, clock: Clock) -> None:
    """Close a connection for good. TLS waits for the other side's goodbye; one that does not come is not waited for."""
    writer.close()
    try:
        async with clock.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
