"""The supervisor's side of the zygote: it sends spawn requests, receives pids and exits, and replaces a dead zygote.

All methods run on the event loop. The supervisor is the parent of the zygote (except after the supervisor's own
restart) and the subreaper of what a dead zygote leaves behind, so exits come from two sides: reported by the zygote, or
collected here. Its pidfd announces the end of a process, even that of another parent's child; only its exit code may
stay unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.supervisor import processes
from kubelab.supervisor.network import NamespaceThread
from kubelab.supervisor.processes import Running
from kubelab.supervisor.zygote import MAX_MESSAGE, SpawnRequest

START_SECONDS = 20.0
CODE_SECONDS = 1.0  # for the parent to report the exit code of a process that has ended


class SpawnError(Exception):
    """A process could not be started; the message is the zygote's."""


class Spawner:
    """``command`` starts a new zygote; it is given the restarts and the number of its descriptor as last arguments."""

    def __init__(
        self,
        channel: socket.socket,
        command: Sequence[str],
        folder: Path,
        host: NamespaceThread,
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._channel = channel
        self._command = command
        self._host = host
        self._clock = clock
        self._log = log
        self._next = 0
        self._answers: dict[int, asyncio.Future[Running]] = {}
        self._requests: dict[int, SpawnRequest] = {}
        self._codes: dict[int, asyncio.Future[int | None]] = {}
        zygote = processes.read(folder, processes.ZYGOTE)
        self.zygote_restarts = zygote.restarts if zygote else 0
        self._closing = False
        self._standby: socket.socket | None = None  # our end of the next zygote's socket

    def open(self) -> None:
        """Begin to listen to the zygote and to collect children."""
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel.fileno(), self._receive)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()
        self._ask_for_standby()

    def close(self) -> None:
        """Let the zygote end, and stop listening."""
        self._closing = True
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.fileno())
        with contextlib.suppress(OSError):
            self._channel.send(b'{"op": "quit"}')
        self._channel.close()
        self._drop_standby()

    async def start(self, request: SpawnRequest, log: int, namespace: int | None) -> Running:
        """Start a process; SpawnError says why it did not begin. The descriptors stay the caller's."""
        self._next += 1
        number = self._next
        answer: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self._answers[number], self._requests[number] = answer, request
        fds = [log] if namespace is None else [log, namespace]
        try:
            socket.send_fds(self._channel, [request.encode(number)], fds)
            async with self._clock.timeout(START_SECONDS):
                return await answer
        except (OSError, TimeoutError) as err:  # the zygote is just being replaced, or hangs
            raise SpawnError(f"the zygote does not answer: {err!r}") from err
        finally:
            self._answers.pop(number, None)
            self._requests.pop(number, None)

    async def ended(self, running: Running) -> int | None:
        """Wait until a process has ended; gives its exit code (negative: the signal), None when it is unknown."""
        fd = running.open()
        if fd is not None:
            loop = asyncio.get_running_loop()
            gone: asyncio.Future[None] = loop.create_future()
            loop.add_reader(fd, lambda: gone.done() or gone.set_result(None))
            try:
                await gone
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        reported = self._codes.get(running.pid)
        if reported is None:
            return None
        try:
            async with self._clock.timeout(CODE_SECONDS):
                return await reported
        except TimeoutError:
            return None  # its parent was killed with the code in its hands, or it is not below us
        finally:
            del self._codes[running.pid]

    def adopt(self, running: Running) -> None:
        """Expect the exit of a process that runs already."""
        self._codes[running.pid] = asyncio.get_running_loop().create_future()

    def _receive(self) -> None:
        try:
            data = self._channel.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._replace()
            return
        message = json.loads(data)
        if "exited" in message:
            self._set_exit_code(message["exited"], message["code"])
            return
        answer, request = self._answers.get(message["id"]), self._requests.get(message["id"])
        if answer is None or request is None or answer.done():
            self._unwanted(message)
            return
        if "error" in message:
            answer.set_exception(SpawnError(message["error"]))
            return
        running = Running(request.name, message["pid"], message["ticks"], message["since"], restarts=request.restarts)
        self.adopt(running)
        answer.set_result(running)

    def _unwanted(self, message: dict[str, Any]) -> None:
        """End the process that a request started after its caller gave up: no keeper would look after it."""
        if "pid" in message and Running("", message["pid"], message["ticks"], message["since"]).signal(signal.SIGKILL):
            self._log.warning("the zygote was too late, ending what it has started", pid=message["pid"])

    def _set_exit_code(self, pid: int, code: int | None) -> None:
        waiting = self._codes.get(pid)
        if waiting and not waiting.done():
            waiting.set_result(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._set_exit_code(pid, os.waitstatus_to_exitcode(status))

    def _replace(self) -> None:
        """Start a new zygote after the old one died; its children are the supervisor's now (or have no parent here)."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.fileno())
        self._channel.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SpawnError("the zygote died"))
        if self._closing:
            return
        self.zygote_restarts += 1
        if self._lead_standby():
            self._log.warning("the zygote died, its standby takes over", restarts=self.zygote_restarts)
        else:
            self._log.warning("the zygote died, starting another one", restarts=self.zygote_restarts)
            self._spawn_zygote()
        loop.add_reader(self._channel.fileno(), self._receive)
        self._ask_for_standby()

    def _ask_for_standby(self) -> None:
        """Let the zygote fork its standby, which takes its place when it dies."""
        self._drop_standby()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._channel, [b'{"op": "standby"}'], [theirs.fileno()])
            except OSError as err:  # it is dead already, which is noticed at once
                self._log.info("no standby for the zygote", error=str(err))
                ours.close()
                return
        ours.setblocking(False)
        self._standby = ours

    def _lead_standby(self) -> bool:
        """Make the standby the zygote; False when there is none that lives."""
        standby, self._standby = self._standby, None
        if standby is None:
            return False
        try:
            standby.send(json.dumps({"restarts": self.zygote_restarts}).encode())
        except OSError:
            standby.close()
            return False
        self._channel = standby
        return True

    def _drop_standby(self) -> None:
        if self._standby:
            self._standby.close()
            self._standby = None

    def _spawn_zygote(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        theirs.set_inheritable(True)
        arguments = [sys.executable, *self._command, str(self.zygote_restarts), str(theirs.fileno())]

        def spawn() -> None:
            os.posix_spawn(sys.executable, arguments, os.environ)
            theirs.close()

        self._host.submit(spawn)  # the zygote belongs in the host's namespace
