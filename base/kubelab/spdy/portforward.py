"""The protocol ``portforward.k8s.io`` in streams of SPDY: two for each forwarded connection, one for its bytes and one
for an error, with the same ``requestID``.

https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kubelab.apimachinery.clock import Clock
from kubelab.spdy.connection import Connection, Stream
from kubelab.spdy.errors import ProtocolError, StreamReset
from kubelab.streams.duplex import Duplex, ForwardError, relay

PROTOCOL = "portforward.k8s.io"
PAIR_SECONDS = 30.0  # for the second stream of a pair
_STREAM_TYPE, _PORT, _REQUEST = "streamtype", "port", "requestid"

Dial = Callable[[int], Awaitable[Duplex]]
"""Connects to a port of the pod. ForwardError."""


class StreamDuplex:
    """A stream of SPDY as a byte stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.read, self.write, self.write_eof = stream.read, stream.write, stream.write_eof

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._stream.reset()


class ForwardedDuplex:
    """One forwarded connection, on the side that asked for it: what the error stream says ends it."""

    def __init__(self, data: Stream, error: Stream) -> None:
        self._data, self._error = data, error
        self.write_eof = data.write_eof

    async def read(self) -> bytes:
        """ForwardError with what the other side says of its end."""
        try:
            data = await self._data.read()
        except StreamReset:
            self._raise_error()
            raise
        if not data:
            self._raise_error()
        return data

    async def write(self, data: bytes) -> None:
        try:
            await self._data.write(data)
        except StreamReset:
            self._raise_error()
            raise

    async def close(self) -> None:
        for stream in (self._data, self._error):
            with contextlib.suppress(ConnectionError):
                await stream.reset()

    def _raise_error(self) -> None:
        """The error's text is sent before the end of the data, so all of it is here by now."""
        if text := self._error.read_nowait():
            raise ForwardError(text.decode("utf-8", "replace"))


async def open_port(connection: Connection, port: int, request: int) -> ForwardedDuplex:
    """Ask for one connection to a port; ``request`` is a number of its own in this connection. StreamReset."""
    headers = {_PORT: str(port), _REQUEST: str(request)}
    error = await connection.open({_STREAM_TYPE: "error", **headers}, fin=True)
    return ForwardedDuplex(await connection.open({_STREAM_TYPE: "data", **headers}), error)


@dataclass(slots=True)
class _Pair:
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class PortForwardServer:
    """Serves what the other side asks for."""

    def __init__(self, connection: Connection, dial: Dial, clock: Clock) -> None:
        self._connection, self._dial, self._clock = connection, dial, clock
        self._pairs: dict[str, _Pair] = {}

    async def run(self) -> None:
        """Serve until the connection ends; then every forwarded connection is closed."""
        async with asyncio.TaskGroup() as group:
            tasks: set[asyncio.Task[None]] = set()
            try:
                while (stream := await self._connection.accept()) is not None:
                    task = group.create_task(self._stream(stream), name=f"port-forward-{stream.number}")
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            finally:
                for task in tasks:
                    task.cancel()

    async def _stream(self, stream: Stream) -> None:
        kind, port = stream.headers.get(_STREAM_TYPE, ""), stream.headers.get(_PORT, "")
        if kind not in ("data", "error") or not port.isdecimal() or not 0 < int(port) < 65536:
            return await stream.reset()
        # A client older than requestID opens the error stream first and the data stream right after it.
        number = stream.number if kind == "error" else stream.number - 2
        key = stream.headers.get(_REQUEST) or str(number)
        pair = self._pairs.setdefault(key, _Pair())
        if kind in pair.streams:
            return await stream.reset()
        pair.streams[kind] = stream
        if len(pair.streams) == 2:
            pair.complete.set()
            return None
        try:
            async with self._clock.timeout(PAIR_SECONDS):
                await pair.complete.wait()
            await self._forward(pair.streams["data"], pair.streams["error"], int(port))
        except TimeoutError:
            await stream.reset()
        except ConnectionError:
            pass  # the client has gone; what it had is closed
        finally:
            del self._pairs[key]
        return None

    async def _forward(self, data: Stream, error: Stream, port: int) -> None:
        try:
            await relay(StreamDuplex(data), await self._dial(port))
        except ForwardError as err:
            await error.write(str(err).encode())
        except ConnectionError:
            pass  # broken off by the pod or by the client: the reset of the data says so
        finally:
            with contextlib.suppress(ConnectionError, ProtocolError):
                await error.write_eof()
                await data.reset()
