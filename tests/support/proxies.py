"""A TCP proxy that loses connections, or the bytes of one direction, as a test demands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator


class TcpProxy:
    """Hands bytes on to ``host:port``, TLS and all.

    While ``whole`` is false, no client gets a connection. While ``deaf`` is true, requests arrive and answers are lost.
    While ``held`` is true, requests wait; what has waited arrives later, also when its sender has hung up meanwhile.
    """

    def __init__(self, to: str) -> None:
        self._host, _, self._port = to.rpartition(":")
        self._writers: list[asyncio.StreamWriter] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.whole = True
        self.deaf = False

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncGenerator[str]:
        """Give the address of the near end."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
        finally:
            self.held = False
            self.cut()
            server.close()

    @property
    def held(self) -> bool:
        return not self._flowing.is_set()

    @held.setter
    def held(self, held: bool) -> None:
        (self._flowing.clear if held else self._flowing.set)()

    def cut(self, *, mend: bool = False) -> None:
        """Break every connection; with ``mend`` only those that there are, and let the next ones be good ones."""
        self.whole = mend
        if mend:
            self.deaf = self.held = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        self._writers.append(writer)
        try:
            there, back = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        self._writers.append(back)
        await asyncio.gather(self._requests(reader, back), self._answers(there, writer))

    async def _requests(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        await self._flowing.wait()
        target.close()

    async def _answers(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not self.deaf:
                    target.write(data)
                    await target.drain()
        target.close()
