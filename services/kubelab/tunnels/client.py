"""The supervisor's side of the control socket: one connection, one request at a time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import BY_REASON, InternalError, Unavailable
from kubelab.tunnels import protocol
from kubelab.tunnels.model import Route, Tunnel
from kubelab.tunnels.protocol import Message

ANSWER_SECONDS = 3.0


class ControlClient:
    """Every call raises Unavailable when the process does not answer; then this client is of no use any more."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._socket: socket.socket | None = None
        self._one_at_a_time = asyncio.Lock()
        self._last = 0

    async def __aenter__(self) -> Self:
        self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect; Unavailable when no process listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(str(self._path))
        except OSError as err:
            sock.close()
            raise Unavailable(f"the tunnels do not answer: {err.strerror}") from err
        self._socket = sock

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    async def open(self, tunnel: Tunnel, route: Route, listener: socket.socket) -> None:
        """Serve a tunnel on a socket that listens already; the socket stays the caller's too."""
        await self._ask({"do": "open", **protocol.encode(tunnel, route)}, [listener.fileno()])

    async def close_tunnel(self, local_port: int) -> None:
        await self._ask({"do": "close", "port": local_port})

    async def list(self) -> list[tuple[Tunnel, Route]]:
        answer, _ = await self._ask({"do": "list"})
        return [protocol.decode(message) for message in answer["tunnels"]]

    async def take(self, local_port: int) -> socket.socket | None:
        """Return a tunnel's listening socket, to keep it open after the end of the process."""
        _, fds = await self._ask({"do": "take", "port": local_port})
        return socket.socket(fileno=fds[0]) if fds else None

    async def unhealthy(self, names: Iterable[str]) -> None:
        """Send the unhealthy addresses and nodes."""
        await self._ask({"do": "unhealthy", "names": sorted(names)})

    async def state(self) -> Message:
        """Return numbers of connections; an answer means that the process is healthy."""
        answer, _ = await self._ask({"do": "state"})
        return answer

    async def _ask(self, request: Message, fds: Sequence[int] = ()) -> tuple[Message, list[int]]:
        async with self._one_at_a_time:
            if self._socket is None:
                raise Unavailable("the tunnels do not answer: the connection has ended")
            self._last += 1
            try:
                async with self._clock.timeout(ANSWER_SECONDS):
                    protocol.send(self._socket, {"id": self._last, **request}, fds)
                    answer, descriptors = await self._receive(self._socket)
            except (OSError, TimeoutError, ValueError) as err:
                self.close()
                raise Unavailable(f"the tunnels do not answer: {err or 'no answer in time'}") from err
            except BaseException:
                self.close()  # an answer may still come: no later call may read it
                raise
        if error := answer.get("error"):
            for fd in descriptors:
                os.close(fd)
            raise BY_REASON.get(error["reason"], InternalError)(error["message"])
        return answer, descriptors

    async def _receive(self, sock: socket.socket) -> tuple[Message, list[int]]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                answer, fds = protocol.receive(sock)
            except BlockingIOError:
                ready = asyncio.Event()
                loop.add_reader(sock, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_reader(sock)
                continue
            if answer is None:
                raise ConnectionResetError("it has ended")
            return answer, fds
