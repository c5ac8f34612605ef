"""The event loop of a component: asyncio's own, which takes all of gRPC's wake-ups at once.

A thread of grpc.aio writes one byte to a socket for each event of its completion queue. The reader that grpc.aio
registers takes one byte, and then handles every event there is; the bytes of the others are still in the socket, and
each makes the loop turn once more for nothing. A server under load spends an eighth of its processor on that.
So this loop empties the socket but for one byte before it calls grpc.aio's reader.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import functools
import socket
import termios
from collections.abc import Callable
from typing import Any

_POLLER = "PollerCompletionQueue"  # the class in grpc/_cython/_cygrpc/aio/completion_queue.pyx.pxi


class EventLoop(asyncio.SelectorEventLoop):
    """``emptied`` counts the sockets of gRPC that it has found: one, as soon as there is a channel or a server."""

    emptied = 0

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Watch a descriptor, as asyncio does."""
        if isinstance(fd, socket.socket) and _is_grpc(callback):
            self.emptied += 1
            callback = _after_emptying(fd, callback)
        super().add_reader(fd, callback, *args)


def _is_grpc(callback: Callable[..., Any]) -> bool:
    handler = callback.func if isinstance(callback, functools.partial) else None
    return type(getattr(handler, "__self__", None)).__name__ == _POLLER


def _after_emptying(wakeups: socket.socket, handle: Callable[..., Any]) -> Callable[..., Any]:
    """Give a reader that leaves one byte of those that are there, and calls ``handle``, which takes that one.

    An event is in its queue before its byte is in the socket, so no event is missed.
    """
    waiting = array.array("i", [0])
    descriptor, read = wakeups.fileno(), wakeups.recv

    def reader(*args: Any) -> None:
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
        if waiting[0] > 1:
            read(waiting[0] - 1)
        handle(*args)

    return reader
