"""A listening port: it accepts until it is closed; failures of single connections do not end it.

Without a free descriptor, the listener closes a silent connection and accepts again a little later; new connections
wait in the kernel's queue. One descriptor is kept in reserve, to accept and refuse a connection meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

import structlog

from kubelab.apimachinery.clock import Clock

BACKLOG = 1024
AT_ONCE = 32  # connections that are accepted before others of this process have their turn
LATER_SECONDS = 0.2
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM)  # of one connection alone, accept(2)


class Listener:
    """``take`` is given every accepted socket, and owns it."""

    def __init__(
        self,
        sock: socket.socket,
        take: Callable[[socket.socket], None],
        make_room: Callable[[], bool],
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.sock = sock
        self._take, self._make_room, self._clock, self._log = take, make_room, clock, log
        self._reserve = _spare()
        self.postponed = 0

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        while True:
            ready.clear()
            loop.add_reader(self.sock, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(self.sock)
            if not self._accept_some():
                await self._clock.sleep(LATER_SECONDS)

    def _accept_some(self) -> bool:
        """Take what waits. False when there is no descriptor for it: later."""
        for _ in range(AT_ONCE):
            try:
                accepted, _address = self.sock.accept()
            except BlockingIOError:
                return True
            except OSError as err:
                if err.errno in _GONE:
                    continue
                self._no_descriptor(err)
                return False
            accepted.setblocking(False)
            self._take(accepted)
        return True

    def _no_descriptor(self, err: OSError) -> None:
        self.postponed += 1
        if self.postponed == 1 or self.postponed % 100 == 0:
            self._log.warning("cannot accept now", port=self.port, error=err.strerror, times=self.postponed)
        if err.errno not in _FULL or self._make_room():
            return
        if self._reserve is not None:  # no silent connection is left: refuse the first that waits
            os.close(self._reserve)
            self._reserve = None
            try:
                self.sock.accept()[0].close()
            except OSError:
                pass  # another one was quicker with the descriptor
            finally:
                self._reserve = _spare()

    def close(self) -> None:
        """Close the port, unless another process holds it too."""
        self.sock.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
