"""``…/pods/NAME/portforward`` over HTTP: frames of SPDY in a WebSocket, as kubectl sends them since 1.31, or two
channels of a WebSocket for each port, as the Python clients use, or SPDY itself, as kubectl asked before."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator

from aiohttp import WSMsgType, web

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.endpoints.portforward import PodPortForwards, PodPorts
from kubelab.apiserver.httpfront.routes import Call
from kubelab.apiserver.httpfront.streams import channels, spdyupgrade
from kubelab.apiserver.httpfront.streams.channels import BASE64, CHANNEL, V4, V4_BASE64, Channels
from kubelab.spdy.connection import Connection
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.portforward import PROTOCOL, PortForwardServer
from kubelab.streams.concurrency import until_first, wait_for_end
from kubelab.streams.duplex import ForwardError, relay
from kubelab.streams.takeover import TakenOver

TUNNEL = f"SPDY/3.1+{PROTOCOL}"
MAX_PORTS = 100  # of one WebSocket with channels: a channel's number is one byte
_WAITING = 16  # messages of a channel that wait for the pod to take them


class PortForwardStreams:
    """Answers for the portforward subresource."""

    def __init__(self, forwards: PodPortForwards, clock: Clock) -> None:
        self._forwards, self._clock = forwards, clock

    async def __call__(self, call: Call) -> web.StreamResponse:
        async with (
            self._forwards.ports(call.request) as ports,
            contextlib.aclosing(ports.until_pod_ends()) as life,
        ):
            websocket = channels.is_websocket(call.raw)
            numbers: list[int] = []
            if not websocket:
                spdyupgrade.check(call.raw, (PROTOCOL,))
            elif TUNNEL not in channels.offered(call.raw):
                numbers = ports_of(call.raw)
            await anext(life)  # the kubelet has the pod: what is wrong with it is an answer of HTTP
            if not websocket:
                await spdyupgrade.serve(call.raw, (PROTOCOL,), lambda c: self._forward(c, ports, life))
                return TakenOver()
            ws = await channels.accept(call.raw, (TUNNEL, V4, V4_BASE64, CHANNEL, BASE64))
            with contextlib.suppress(ConnectionError):
                if ws.ws_protocol == TUNNEL:
                    await self._tunnel(ws, ports, life)
                else:
                    await _ChannelForwards(Channels(ws), ports).run(numbers, life)
            await ws.close()
            return ws

    async def _tunnel(self, ws: web.WebSocketResponse, ports: PodPorts, life: AsyncGenerator[None]) -> None:
        """Speak SPDY in binary messages, until the client closes or the pod ends."""
        connection = Connection(ws.send_bytes, server=True)

        async def receive() -> None:
            try:
                while (message := await ws.receive()).type is WSMsgType.BINARY:
                    await connection.receive(message.data)
            except ProtocolError:
                pass  # the connection knows, and ends
            finally:
                connection.close()

        await until_first(receive(), self._forward(connection, ports, life))

    async def _forward(self, connection: Connection, ports: PodPorts, life: AsyncGenerator[None]) -> None:
        """Forward what the client asks for in streams of SPDY, until the pod ends."""
        server = PortForwardServer(connection, ports.connect, self._clock)
        await until_first(server.run(), wait_for_end(life))


class _ChannelForwards:
    """Two channels for each port: 2·n for the bytes, 2·n+1 for an error."""

    def __init__(self, sockets: Channels, ports: PodPorts) -> None:
        self._sockets, self._ports = sockets, ports
        self._queues: dict[int, asyncio.Queue[bytes]] = {}

    async def run(self, numbers: list[int], life: AsyncGenerator[None]) -> None:
        """Forward until every connection is over, the client closes, or the pod ends."""
        for index, number in enumerate(numbers):
            self._queues[2 * index] = asyncio.Queue(_WAITING)
            for channel in (2 * index, 2 * index + 1):
                await self._sockets.send(channel, struct.pack("<H", number))
        await until_first(self._receive(), self._forward_all(numbers), wait_for_end(life))

    async def _receive(self) -> None:
        while (message := await self._sockets.receive()) is not None:
            channel, data = message
            if data and (queue := self._queues.get(channel)) is not None:
                await queue.put(data)

    async def _forward_all(self, numbers: list[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for index, number in enumerate(numbers):
                group.create_task(self._forward(index, number))

    async def _forward(self, index: int, number: int) -> None:
        end = _ChannelEnd(self._sockets, 2 * index, self._queues[2 * index])
        try:
            await relay(end, await self._ports.connect(number))
        except ForwardError as err:
            await self._sockets.send(2 * index + 1, str(err).encode())
        except ConnectionError:
            pass  # broken off by the pod, or by the client
        finally:
            self._queues.pop(2 * index)


class _ChannelEnd:
    """One channel as a byte stream. The protocol has no end of a single direction: with the pod's end all is over."""

    def __init__(self, sockets: Channels, channel: int, queue: asyncio.Queue[bytes]) -> None:
        self._sockets, self._channel, self._queue = sockets, channel, queue

    async def read(self) -> bytes:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        await self._sockets.send(self._channel, data)

    async def write_eof(self) -> None:
        raise ConnectionResetError("the pod has ended the connection")

    async def close(self) -> None:
        """Nothing: the WebSocket is the handler's."""


def ports_of(raw: web.BaseRequest) -> list[int]:
    """Read ``?ports=80&ports=81,82``; BadRequest."""
    words = [word for value in raw.query.getall("ports", []) for word in value.split(",")]
    if not words:
        raise errors.BadRequest('query parameter "ports" is required')
    numbers: list[int] = []
    for word in words:
        if not word:
            raise errors.BadRequest('query parameter "ports" cannot be empty')
        if not (word.isascii() and word.isdigit() and 0 < int(word) < 65536):
            raise errors.BadRequest(f'unable to parse "{word}" as a port: expected a number from 1 to 65535')
        numbers.append(int(word))
    if len(numbers) > MAX_PORTS:
        raise errors.BadRequest(f"{len(numbers)} ports: at most {MAX_PORTS} are forwarded by one WebSocket")
    return numbers
