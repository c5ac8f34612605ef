"""Processes that are not this one's children: asked for through the launcher, watched by pidfd."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.faults import Fault

LAUNCH_SECONDS = 30.0


class Launcher:
    """The runtime's end of the launcher's socket."""

    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._link, self._clock = link, clock

    async def ask(self, request: Mapping[str, Any], *, seconds: float = LAUNCH_SECONDS) -> dict[str, Any]:
        """Have something launched; Fault with its words when that fails."""
        mine, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(mine, False)
        try:
            try:
                socket.send_fds(self._link, [json.dumps(request).encode()], [theirs])
            finally:
                os.close(theirs)
            async with self._clock.timeout(seconds):
                answer = await _read_all(mine)
        except TimeoutError:
            raise Fault(f"the launcher did not answer within {seconds:g} s") from None
        except OSError as err:
            raise Fault(f"the launcher is gone: {err}") from err
        finally:
            os.close(mine)
        told: dict[str, Any] = json.loads(answer) if answer else {"error": "the launched process ended early"}
        if "error" in told:
            raise Fault(told["error"])
        return told


async def _read_all(fd: int) -> bytes:
    """Read a pipe to its end without blocking the loop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    parts: list[bytes] = []

    def readable() -> None:
        data = os.read(fd, 65536)
        if data:
            parts.append(data)
        elif not done.done():
            done.set_result(b"".join(parts))

    loop.add_reader(fd, readable)
    try:
        return await done
    finally:
        loop.remove_reader(fd)


class Watch:
    """Calls back once, on the event loop, when a process is gone."""

    def __init__(self, pid: int, ended: Callable[[], None]) -> None:
        self.over = asyncio.Event()
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = -1
            self._loop.call_soon(self._end)
        else:
            self._loop.add_reader(self._fd, self._end)

    def _end(self) -> None:
        if not self.over.is_set():
            self.close()
            self._ended()
            self.over.set()

    def close(self) -> None:
        """Watch no more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone needs none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def signal_number(name: str) -> int:
    """``SIGTERM``, ``TERM``, ``15``; SIGTERM for what is none."""
    if name.isdecimal():
        return int(name)
    full = name if name.startswith("SIG") else f"SIG{name}"
    return getattr(signal, full, signal.SIGTERM)
