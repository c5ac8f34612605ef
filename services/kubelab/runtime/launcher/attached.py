"""Those who are attached to a container: clients of the socket ``attach.sock`` in its folder, which its monitor serves.

A client sends packets (SOCK_SEQPACKET): first which streams it wants, then what it types; it is sent what the container
prints. The first byte of a packet is its kind. It goes when it likes, and the container goes on; the socket is closed
when the container has ended.

A client that does not keep up holds the container up, as it does with CRI-O's conmon: no output is lost for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import termios
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

SOCKET = "attach.sock"
WANTED, STDIN, STDIN_END, SIZE = b"w", b"i", b"e", b"s"
"""What a client sends: JSON, a list of ``stdin``, ``stdout``, ``stderr``; bytes; nothing; width and height."""
OUTPUT = {"stdout": b"o", "stderr": b"x"}
"""What a client is sent."""
SIZES = struct.Struct("!HH")
MAX_PACKET = 32 << 10
MAX_WAITING = 256 << 10  # bytes that wait for a client, or for the container to read them
MAX_CLIENTS = 64
LINGER_SECONDS = 2.0  # for clients to take what is left for them, when the container has ended


class Input:
    """A container's stdin, as long as it is open (else ``fd`` is -1): a pipe's end, or its ``terminal``. ``once``: it
    ends with the first client that had it."""

    def __init__(self, fd: int, *, once: bool = False, terminal: int = -1) -> None:
        self.fd, self._once, self._terminal = fd, once and terminal < 0, terminal
        self._waiting = bytearray()
        self._ending = False
        if fd >= 0:
            os.set_blocking(fd, False)

    @property
    def waiting(self) -> bool:
        """Whether something is to be written as soon as there is room."""
        return self.fd >= 0 and bool(self._waiting)

    @property
    def full(self) -> bool:
        return self.fd >= 0 and len(self._waiting) >= MAX_WAITING

    def give(self, data: bytes) -> None:
        if self.fd >= 0 and not self._ending:
            self._waiting += data
            self.flush()

    def end(self) -> None:
        """Close it once all is written. Nothing where it stays open for the next client."""
        if self._once:
            self._ending = True
            self.flush()

    def flush(self) -> None:
        """Write what there is room for; what nobody reads any more is forgotten."""
        try:
            while self.waiting:
                del self._waiting[: os.write(self.fd, self._waiting[:65536])]
        except BlockingIOError:
            return
        except OSError:  # EPIPE; EIO of a terminal that nobody has open
            self._waiting.clear()
        if self._ending and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def resize(self, width: int, height: int) -> None:
        if self._terminal >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


@dataclass(eq=False, slots=True)
class _Client:
    link: socket.socket
    wanted: frozenset[str] = frozenset()
    waiting: deque[bytes] = field(default_factory=deque[bytes])
    size: int = 0

    def flush(self) -> None:
        """Send what there is room for. ConnectionError."""
        try:
            while self.waiting:
                self.link.send(self.waiting[0])
                self.size -= len(self.waiting.popleft())
        except BlockingIOError:
            return


class Attached:
    """See the module. Nothing here waits, but for :meth:`close`."""

    def __init__(self, listener: socket.socket, stdin: Input) -> None:
        self._listener, self._stdin = listener, stdin
        self._clients: dict[int, _Client] = {}

    @property
    def holding_up(self) -> bool:
        """Whether a client has so much to take that no more is to be read from the container."""
        return any(client.size >= MAX_WAITING for client in self._clients.values())

    def interests(self) -> Iterable[tuple[int, int]]:
        """Which descriptors to wait for, and for what (poll(2))."""
        if len(self._clients) < MAX_CLIENTS:
            yield self._listener.fileno(), select.POLLIN
        if self._stdin.waiting:
            yield self._stdin.fd, select.POLLOUT
        for fd, client in self._clients.items():
            events = (0 if self._stdin.full else select.POLLIN) | (select.POLLOUT if client.waiting else 0)
            if events:
                yield fd, events

    def take(self, ready: dict[int, int]) -> None:
        """Carry on where something has happened."""
        self._stdin.flush()
        for fd, events in ready.items():
            if client := self._clients.get(fd):
                self._serve(client, events)
        if self._listener.fileno() in ready:  # last: a new client may be given the number of one that has gone
            self._accept()

    def deliver(self, stream: str, data: bytes) -> None:
        """Send what the container has printed to all that want it."""
        for client in [client for client in self._clients.values() if stream in client.wanted]:
            for start in range(0, len(data), MAX_PACKET):
                packet = OUTPUT[stream] + data[start : start + MAX_PACKET]
                client.waiting.append(packet)
                client.size += len(packet)
            self._flush(client)

    def close(self) -> None:
        """The container has ended: tell all clients, after what is left for them."""
        self._listener.close()
        poll = select.poll()
        for fd, client in [*self._clients.items()]:
            if client.waiting:
                poll.register(fd, select.POLLOUT)
            else:
                self._drop(client)
        while self._clients and (ready := poll.poll(LINGER_SECONDS * 1000)):
            for fd, _ in ready:
                client = self._clients[fd]
                self._flush(client)
                if not client.waiting:
                    poll.unregister(fd)
                    self._drop(client)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            link, _ = self._listener.accept()
            link.setblocking(False)
            self._clients[link.fileno()] = _Client(link)

    def _serve(self, client: _Client, events: int) -> None:
        if events & select.POLLOUT:
            self._flush(client)
        if client.link.fileno() < 0:  # it has gone
            return None
        try:
            while not self._stdin.full:
                packet = client.link.recv(MAX_PACKET + 1)
                if not packet:
                    return self._drop(client)
                self._packet(client, packet[:1], packet[1:])
        except BlockingIOError:
            if events & select.POLLHUP and not events & select.POLLIN:
                self._drop(client)
        except ConnectionError:
            self._drop(client)
        return None

    def _packet(self, client: _Client, kind: bytes, data: bytes) -> None:
        if kind == WANTED:
            client.wanted = frozenset(json.loads(data))
        elif kind == STDIN and "stdin" in client.wanted:
            self._stdin.give(data)
        elif kind == STDIN_END and "stdin" in client.wanted:
            self._stdin.end()
        elif kind == SIZE:
            self._stdin.resize(*SIZES.unpack(data))

    def _flush(self, client: _Client) -> None:
        try:
            client.flush()
        except ConnectionError:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        """A client has gone; with ``once`` stdin goes with it."""
        if self._clients.pop(client.link.fileno(), None) is None:
            return
        client.waiting.clear()
        client.link.close()
        if "stdin" in client.wanted:
            self._stdin.end()
