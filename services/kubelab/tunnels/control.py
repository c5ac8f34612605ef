"""The process's side of its control socket. Requests of one connection are served one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.tunnels import protocol
from kubelab.tunnels.protocol import Message
from kubelab.tunnels.tunnels import Tunnels

Answer = tuple[Message, list[int]]
LATER_SECONDS = 0.2


class Control:
    """Carries out the supervisor's requests."""

    def __init__(self, tunnels: Tunnels, clock: Clock, log: structlog.typing.FilteringBoundLogger) -> None:
        self._tunnels, self._clock, self._log = tunnels, clock, log

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncGenerator[None]:
        """Listen at ``path``, which only this user may open, until the body ends."""
        listener = _listen(path)
        serving: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.TaskGroup() as group:
                serving.add(group.create_task(self._accept(listener, group, serving), name="control"))
                yield
                for task in serving:
                    task.cancel()
        finally:
            listener.close()
            os.unlink(path)  # noqa: PTH108

    async def _accept(
        self, listener: socket.socket, group: asyncio.TaskGroup, serving: set[asyncio.Task[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as err:  # no descriptor is left
                self._log.warning("control cannot accept now", error=str(err))
                await self._clock.sleep(LATER_SECONDS)
                continue
            task = group.create_task(self._serve(connection), name="control connection")
            serving.add(task)
            task.add_done_callback(serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(connection, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                while await self._serve_one(connection):
                    pass
        except (OSError, EOFError, ValueError) as err:  # it has left, or is none of ours
            self._log.debug("control connection ended", why=repr(err))
        finally:
            loop.remove_reader(connection)
            connection.close()

    async def _serve_one(self, connection: socket.socket) -> bool:
        """Take a request and answer it; False when none waits. EOFError at the end."""
        try:
            request, fds = protocol.receive(connection)
        except BlockingIOError:
            return False
        if request is None:
            raise EOFError
        descriptors: list[int] = []
        try:
            answer, descriptors = await self._do(request, fds)
        except ApiError as err:
            answer = {"error": {"reason": err.reason, "message": err.message}}
        except (LookupError, TypeError, ValueError) as err:
            answer = {"error": {"reason": "BadRequest", "message": f"not understood: {err!r}"}}
        finally:
            for fd in fds:
                with contextlib.suppress(OSError):
                    os.close(fd)
        protocol.send(connection, {"id": request.get("id"), **answer}, descriptors)
        return True

    async def _do(self, request: Message, fds: list[int]) -> Answer:
        match request["do"]:
            case "open":
                tunnel, route = protocol.decode(request)
                listener = socket.socket(fileno=fds.pop())
                listener.setblocking(False)
                await self._tunnels.open(tunnel.node, tunnel.address, tunnel.local_port, route=route, listener=listener)
                return {}, []
            case "close":
                await self._tunnels.close(int(request["port"]))
                return {}, []
            case "list":
                return {"tunnels": self._list()}, []
            case "take":
                sock = self._tunnels.listener(int(request["port"]))
                return {}, [sock.fileno()] if sock else []
            case "unhealthy":
                self._tunnels.target_health.unhealthy = frozenset(map(str, request["names"]))
                return {}, []
            case "state":
                limiter = self._tunnels.limiter
                return {"connections": len(limiter), "refused": limiter.refused, "evicted": limiter.evicted}, []
            case other:
                raise ValueError(f"do: {other!r}")

    def _list(self) -> list[Message]:
        tunnels = [(tunnel, self._tunnels.route_of(tunnel.local_port)) for tunnel in self._tunnels.list()]
        return [protocol.encode(tunnel, route) for tunnel, route in tunnels if route]


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # that of a process that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.setblocking(False)
    listener.listen()
    return listener
