"""Ports outside that lead into a node, as bytes.

Listening sockets belong to a network namespace outside (the host's, of a local cluster), outgoing ones to the node's:
a service address works because the node's own rules translate it. What is open is written down, so whoever looks after
them next (a supervisor, a node's agent) opens the same ports again.
One connection is two protocols that write to each other, pause each other, and hand on an end of stream one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import AlreadyExists, BadRequest, TooManyRequests, Unavailable

CONNECT_SECONDS = 10.0
ACCEPT_RETRY_SECONDS = 0.2
LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """``local_port`` outside → ``address`` (host:port), connected to from inside ``node``."""

    local_port: int
    node: str
    address: str


class Place(Protocol):
    """A network namespace."""

    def tcp_socket(self) -> Future[socket.socket]:
        """Make a TCP socket there that does not block."""
        ...


class _Side(asyncio.Protocol):
    """One end of a connection; ``other`` is where its bytes go."""

    def __init__(self, ended: asyncio.Event) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.eof = False
        self._early = b""  # what came before the other end was there
        self._ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        elif self.transport:
            self._early += data
            self.transport.pause_reading()

    def hand_on(self) -> None:
        """The other end is there now: give it what came before, and all that comes."""
        if not self.transport or not self.other or not self.other.transport:
            return
        other = self.other.transport
        other.write(self._early)
        if self.transport.is_closing():
            other.close()
            return
        if self.eof:
            other.write_eof()
        self.transport.resume_reading()

    def eof_received(self) -> bool:
        self.eof = True
        other = self.other
        if other and other.transport and not other.transport.is_closing():
            other.transport.write_eof()
            if other.eof:  # both directions have ended; what is not yet written goes out first
                other.transport.close()
        return other is not None and not other.eof  # True: this side may still be written to

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            if exc:
                self.other.transport.abort()  # a reset stays a reset
            else:
                self.other.transport.close()
        self._ended.set()


class Tunnels:
    """Every open tunnel. ``nodes`` maps names to where they are; ``outside`` is where ports are listened on, at
    ``listen``: any that is free, or one of ``ports``."""

    def __init__(
        self,
        outside: Place,
        nodes: Mapping[str, Place],
        file: Path,
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
        *,
        listen: str = LOCALHOST,
        ports: Sequence[int] = (),
    ) -> None:
        self._outside, self._nodes, self._file, self._clock, self._log = outside, nodes, file, clock, log
        self._address, self._ports = listen, ports
        self._open: dict[int, tuple[Tunnel, asyncio.Task[None], socket.socket]] = {}
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Tunnels:
        await self._group.__aenter__()
        for tunnel in self._read():
            with contextlib.suppress(AlreadyExists):  # taken meanwhile: told in the log
                await self.open(tunnel.node, tunnel.address, tunnel.local_port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for _, task, _ in self._open.values():
            task.cancel()
        await self._group.__aexit__(None, None, None)
        for _, _, listener in self._open.values():
            listener.close()

    def list(self) -> list[Tunnel]:
        """Give every open tunnel."""
        return [tunnel for tunnel, *_ in self._open.values()]

    async def open(self, node: str, address: str, local_port: int = 0) -> Tunnel:
        """Open a tunnel, or give the one that is open.

        AlreadyExists: the port is taken; TooManyRequests: all ports are; BadRequest: no such node, or not our port.
        """
        if node not in self._nodes:
            raise BadRequest(f'node "{node}" not found')
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BadRequest(f'address "{address}": expected host:port')
        for tunnel, *_ in self._open.values():
            if (tunnel.node, tunnel.address) == (node, address) and local_port in (0, tunnel.local_port):
                return tunnel
        listener = await (self._listen(local_port) if local_port or not self._ports else self._listen_on_any())
        tunnel = Tunnel(int(listener.getsockname()[1]), node, address)
        task = self._group.create_task(self._serve(tunnel, listener), name=f"tunnel {tunnel.local_port}")
        self._open[tunnel.local_port] = (tunnel, task, listener)
        self._write()
        return tunnel

    async def _listen_on_any(self) -> socket.socket:
        """Take a port of ours that is free; TooManyRequests when none is."""
        for port in self._ports:
            if port not in self._open:
                with contextlib.suppress(AlreadyExists):  # somebody else's: told in the log
                    return await self._listen(port)
        told = f"all tunnel ports of this node are in use: {self._ports[0]} to {self._ports[-1]}; close one of them"
        raise TooManyRequests(told)

    async def _listen(self, local_port: int) -> socket.socket:
        if local_port and self._ports and local_port not in self._ports:
            told = f"port {local_port}: tunnels of this node have the ports {self._ports[0]} to {self._ports[-1]}"
            raise BadRequest(told)
        listener = await asyncio.wrap_future(self._outside.tcp_socket())
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address, local_port))
            listener.listen(1024)
        except OSError as err:
            listener.close()
            self._log.warning("tunnel cannot be opened", port=local_port, error=str(err))
            raise AlreadyExists(f"cannot listen on {self._address}:{local_port}: {err.strerror}") from err
        return listener

    async def close(self, local_port: int) -> None:
        """Close a tunnel with its connections; one that is not open is no error."""
        found = self._open.pop(local_port, None)
        if found:
            _, task, listener = found
            task.cancel()
            await asyncio.wait([task])
            listener.close()
            self._write()

    async def _serve(self, tunnel: Tunnel, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError as err:  # no descriptor left, say: connections that end give some back
                    self._log.warning("tunnel cannot accept", port=tunnel.local_port, error=str(err))
                    await self._clock.sleep(ACCEPT_RETRY_SECONDS)
                    continue
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections.create_task(self._carry(tunnel, accepted), name=f"connection of {tunnel.local_port}")

    async def _carry(self, tunnel: Tunnel, accepted: socket.socket) -> None:
        """Connect to the inside, then let bytes flow until both directions have ended."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        inner, outer = _Side(ended), _Side(ended)
        try:
            made = await self._connect(tunnel)
        except Unavailable as err:
            self._log.info("tunnel finds nobody", port=tunnel.local_port, error=err.message)
            with contextlib.suppress(OSError):  # refused inside: reset outside
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            return
        except BaseException:
            accepted.close()
            raise
        inner.other, outer.other = outer, inner
        try:
            # The inner side first: what the outer one brings has somewhere to go.
            await loop.connect_accepted_socket(lambda: inner, made)
            await loop.connect_accepted_socket(lambda: outer, accepted)
            inner.hand_on()
            await ended.wait()
        finally:
            for side in (inner, outer):
                if side.transport:
                    side.transport.close()

    async def _connect(self, tunnel: Tunnel) -> socket.socket:
        host, _, port = tunnel.address.rpartition(":")
        made = await asyncio.wrap_future(self._nodes[tunnel.node].tcp_socket())
        try:
            async with self._clock.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
        except (OSError, TimeoutError) as err:
            made.close()
            raise Unavailable(f"{tunnel.address} from {tunnel.node}: {err!r}") from err
        except BaseException:
            made.close()
            raise
        return made

    def _read(self) -> list[Tunnel]:
        try:
            return [Tunnel(**body) for body in json.loads(self._file.read_text())]
        except FileNotFoundError:
            return []

    def _write(self) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps([asdict(tunnel) for tunnel in self.list()]))
        os.replace(temporary, self._file)  # noqa: PTH105
