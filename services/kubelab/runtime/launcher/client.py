"""Processes that are not this one's children: asked for through the launcher, watched by pidfd."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.component.config import ConfigError
from kubelab.linux import syscalls
from kubelab.runtime.errors import CRIError
from kubelab.runtime.launcher import server as launcher

LAUNCH_SECONDS = 30.0
REACH_SECONDS = 15.0  # for a machine's launcher to be there, and free
REACH_AGAIN_SECONDS = 0.2


class Launcher:
    """The runtime's end of the launcher's socket; ``pid`` is the launcher's."""

    def __init__(self, link: socket.socket, pid: int, clock: Clock) -> None:
        self._link, self.pid, self._clock = link, pid, clock
        link.setblocking(False)

    async def ask(
        self,
        request: Mapping[str, Any],
        streams: Sequence[int] = (),
        *,
        seconds: float | None = LAUNCH_SECONDS,
        sent: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Have something launched, with descriptors for what it prints; CRIError with its words when that fails.

        Whatever is launched can see when its answer is not waited for any more. ``seconds`` None: no deadline of ours.
        ``sent`` is called when the descriptors are under way: ours may be closed then.
        """
        message = json.dumps(request).encode()
        if len(message) > launcher.MAX_MESSAGE:
            raise _too_large()
        mine, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(mine, False)
        try:
            try:
                socket.send_fds(self._link, [message], [theirs, *streams])
            finally:
                os.close(theirs)
            if sent is not None:
                sent()
            async with self._clock.timeout(seconds):
                answer = await read_all(mine)
        except TimeoutError:
            raise NoAnswer(f"the launcher did not answer within {seconds:g} s") from None
        except BlockingIOError:
            raise CRIError("the launcher takes no more requests: it stands still") from None
        except OSError as err:
            if err.errno == errno.EMSGSIZE:
                raise _too_large() from err
            raise CRIError(f"the launcher is gone: {err}") from err
        finally:
            os.close(mine)
        reply: dict[str, Any] = json.loads(answer) if answer else {"error": "the launched process ended early"}
        if "error" in reply:
            raise CRIError(reply["error"])
        return reply

    def close(self) -> None:
        """Leave the launcher to itself, or to the next runtime."""
        self._link.close()


def _too_large() -> CRIError:
    reason = f"larger than the {launcher.MAX_MESSAGE} bytes that a request to the launcher may have"
    return CRIError(reason, grpc.StatusCode.INVALID_ARGUMENT)


class NoAnswer(CRIError):
    """Nothing was heard of what was launched in time."""


class Unreachable(Exception):
    """There is no launcher for us now; the message says why."""


async def reach(path: Path, clock: Clock) -> Launcher:
    """Connect to the launcher that listens at ``path``; ConfigError when for so long none does, or none is free."""
    why = "it does not answer"
    try:
        async with clock.timeout(REACH_SECONDS):
            while True:
                try:
                    link = await _connect(path)
                    break
                except Unreachable as err:
                    why = str(err)
                await clock.sleep(jittered(REACH_AGAIN_SECONDS))
    except TimeoutError:
        raise ConfigError(f"launcherSocket: no launcher at {path}: {why}") from None
    pid = launcher.peer(link)
    try:
        _check_place(pid)
    except ConfigError:
        link.close()
        raise
    return Launcher(link, pid, clock)


def _check_place(pid: int) -> None:
    """Is this process where it can look after pods of that launcher? ConfigError says what its container lacks."""
    if pid == 0:
        raise ConfigError(
            "launcherSocket: the launcher is in another pid namespace, so no pod can be seen from here; in a compose "
            'file this service needs pid: "service:NODE"'
        )
    theirs = Path(f"/proc/{pid}/ns/net")
    try:
        with theirs.open("rb") as namespace:
            if theirs.stat().st_ino != Path("/proc/self/ns/net").stat().st_ino:
                raise ConfigError(
                    "launcherSocket: the launcher is in another network namespace, and pods are joined to that; in a "
                    'compose file this service needs network_mode: "service:NODE"'
                )
            syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)  # where we are: only to see whether we may
    except PermissionError:
        raise ConfigError(
            "launcherSocket: this runtime may not enter the namespaces of pods; in a compose file this service needs "
            "cap_add: [SYS_ADMIN, NET_ADMIN] and all other capabilities of the node's, and security_opt: "
            "[apparmor:unconfined]"
        ) from None


async def _connect(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        launcher.make_room(link)
        link.setblocking(False)
        link.connect(str(path))
        greeting = await asyncio.get_running_loop().sock_recv(link, launcher.MAX_MESSAGE)
        reply: dict[str, Any] = json.loads(greeting) if greeting else {"error": "it has ended"}
        if "error" in reply:
            raise Unreachable(reply["error"])
    except OSError as err:
        link.close()
        raise Unreachable(err.strerror) from err
    except BaseException:
        link.close()
        raise
    return link


async def read_all(fd: int) -> bytes:
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
