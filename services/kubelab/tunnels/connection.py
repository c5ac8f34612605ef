"""One connection through a tunnel, as bytes: two protocols that write to each other, pause each other, and hand on an
end of stream one by one.

::

    accepted ─▶ (client_first: until something has come) ─▶ connecting ─▶ carrying, until both directions have ended
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

from kubelab.apimachinery.clock import Clock
from kubelab.tunnels.model import Route, TunnelTarget

SILENT_SECONDS = 10.0  # for a client that has to speak first to say anything at all
FLUSH_SECONDS = 30.0  # for buffered bytes after one end is closed
ANSWER_SECONDS = 3.0  # for a server that answers at once; later, new connections go elsewhere
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset

Connect = Callable[[Route], Awaitable[tuple[socket.socket, TunnelTarget]]]
Note = Callable[[TunnelTarget, bool], None]


class _Side(asyncio.Protocol):
    """One end of a connection; ``other`` is where its bytes go."""

    def __init__(self, one_ended: asyncio.Event) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.eof = False
        self.spoke = asyncio.Event()  # something has come, be it the end
        self.ended = asyncio.Event()
        self._early = b""  # what came before the other end was there
        self._one_ended = one_ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.spoke.set()
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
        self._early = b""
        if self.transport.is_closing():
            other.close()
            return
        if self.eof:
            other.write_eof()
        self.transport.resume_reading()

    def eof_received(self) -> bool:
        self.eof = True
        self.spoke.set()
        other = self.other
        if other and other.transport and not other.transport.is_closing():
            other.transport.write_eof()
            if other.eof:  # both directions have ended; what is not yet written goes out first
                other.transport.close()
        return other is None or not other.eof  # True: this side may still be written to

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
        self.spoke.set()
        self.ended.set()
        self._one_ended.set()


class TunnelConnection:
    """Owns the accepted socket from the first moment; :meth:`carry` lasts as long as the connection."""

    def __init__(self, accepted: socket.socket, port: int, peer: str, clock: Clock) -> None:
        self.port, self.peer = port, peer
        self._accepted, self._clock = accepted, clock
        self._one_ended = asyncio.Event()
        self._outer, self._inner = _Side(self._one_ended), _Side(self._one_ended)
        self._task: asyncio.Task[None] | None = None
        self._gave_way = False

    @property
    def silent(self) -> bool:
        """Say whether neither end has sent a byte yet."""
        return not self._outer.spoke.is_set() and not self._inner.spoke.is_set()

    def evict(self) -> None:
        """End, now: another connection needs the room. The client gets a reset."""
        self._gave_way = True
        refuse(self._accepted if self._outer.transport is None else None)
        if self._outer.transport:
            _reset_on_close(self._outer.transport)
            self._outer.transport.abort()
        if self._task:
            self._task.cancel()

    async def carry(self, route: Route, connect: Connect, note: Note) -> None:
        """Connect to the inside, then let bytes flow until both directions have ended. Raises no network errors:
        a client of an unreachable target gets a reset."""
        self._task = asyncio.current_task()
        try:
            if self._gave_way:
                return
            if route.client_first and not await self._heard_from_client():
                return
            try:
                inside, target = await connect(route)
            except OSError:
                self.give_up()
                return
            await self._flow(inside, target, route, note)
        except asyncio.CancelledError:
            if not self._gave_way:  # the tunnel is closed
                raise
        finally:
            for side in (self._inner, self._outer):
                if side.transport:
                    side.transport.abort() if self._gave_way else side.transport.close()
            if self._outer.transport is None:
                self._accepted.close()

    def give_up(self) -> None:
        """Refused inside is a reset outside."""
        if self._outer.transport:
            _reset_on_close(self._outer.transport)
            self._outer.transport.abort()
        else:
            refuse(self._accepted)

    async def _heard_from_client(self) -> bool:
        """Wait until the client has sent bytes; False when it sends none, or has closed."""
        await self._open(self._outer, self._accepted)
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(SILENT_SECONDS):
                await self._outer.spoke.wait()
        return self._outer.spoke.is_set() and not self._outer.ended.is_set()

    async def _flow(self, inside: socket.socket, target: TunnelTarget, route: Route, note: Note) -> None:
        # The inner side first: what the outer one brings has somewhere to go.
        await self._open(self._inner, inside)
        self._inner.other = self._outer
        self._outer.other = self._inner
        if self._outer.transport is None:
            await self._open(self._outer, self._accepted)
        self._outer.hand_on()
        self._inner.hand_on()
        if route.client_first:
            await self._expect_an_answer(target, note)
        await self._ended()

    async def _expect_an_answer(self, target: TunnelTarget, note: Note) -> None:
        try:
            async with self._clock.timeout(ANSWER_SECONDS):
                await self._inner.spoke.wait()
        except TimeoutError:
            note(target, False)
            return
        note(target, True)

    async def _ended(self) -> None:
        """Wait for the end of both sides. Where one has ended, the other one may still take what was meant for it."""
        await self._one_ended.wait()
        try:
            async with self._clock.timeout(FLUSH_SECONDS):
                await self._outer.ended.wait()
                await self._inner.ended.wait()
        except TimeoutError:
            self._gave_way = True

    async def _open(self, side: _Side, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: side, sock)
        except BaseException:
            sock.close()
            raise


def refuse(sock: socket.socket | None) -> None:
    """Close with a reset."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()


def _reset_on_close(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
