"""The process that has imported every component and forks them; it runs none itself.

One thread, one loop over two descriptors: requests from the supervisor, and SIGCHLD. A request is served before the
next is read, so at every moment each component is either not begun or recorded (see :mod:`processes`).

* A component that ends is reported; so is every orphan below us, since we are their subreaper.
* When the supervisor goes away (its end of the socket closes), the zygote forks a new one, which adopts what runs.
  A supervisor that wants us to end says ``quit`` first.
* When the zygote goes away, its standby takes its place at once; components live on. A standby is a fork of the zygote
  that waits for the supervisor's word, and ends with the supervisor. Only where there is none, the supervisor starts a
  new zygote, which has to import everything first.

Messages are JSON, one a packet; descriptors (the log file, the network namespace) travel beside them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from kubelab.apimachinery.clock import Clock
from kubelab.linux import syscalls
from kubelab.supervisor import processes

MAX_MESSAGE = 128 * 1024
# A supervisor that ends at once, again and again, is not started for ever.
RESPAWN_WITHIN_SECONDS = 30.0
RESPAWN_LIMIT = 10


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """Start one process: a component's module (``COMPONENT.main(argv)`` is called), or a program."""

    name: str
    argv: tuple[str, ...]
    records: str
    module: str = ""
    program: str = ""
    restarts: int = 0
    group: int = 0  # group id that its sockets carry; 0: the zygote's own
    environment: dict[str, str] = field(default_factory=dict)

    def encode(self, number: int) -> bytes:
        return json.dumps({"op": "start", "id": number, "request": asdict(self)}).encode()

    @staticmethod
    def decode(body: dict[str, Any]) -> SpawnRequest:
        body["argv"] = tuple(body["argv"])
        return SpawnRequest(**body)


class Zygote:
    """``respawn(socket)`` is called in a fresh fork, to become the next supervisor; ``lead(socket, restarts)`` in a
    standby, to become the next zygote."""

    def __init__(
        self,
        channel: socket.socket,
        respawn: Callable[[socket.socket], NoReturn],
        lead: Callable[[socket.socket, int], NoReturn],
        clock: Clock,
    ) -> None:
        self._channel = channel
        self._respawn, self._lead = respawn, lead
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._respawned: list[float] = []

    def run(self) -> None:
        """Serve until the supervisor says ``quit``."""
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)  # what it writes to the wake-up socket is all we need
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._selector.register(self._channel, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake_in:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
                    self._reap()
                elif not self._serve():
                    signal.set_wakeup_fd(-1)  # children that end from now on write to no socket
                    return

    def _serve(self) -> bool:
        """Take one request; False after ``quit``."""
        try:
            data, fds, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE, 2)
        except ConnectionError:
            data, fds = b"", []
        if not data:
            return self._replace_supervisor()
        message = json.loads(data)
        if message["op"] == "quit":
            return False
        if message["op"] == "standby":
            self._make_standby(fds)
            return True
        try:
            answer = {"id": message["id"], **self._start(SpawnRequest.decode(message["request"]), fds)}
        except OSError as err:
            answer = {"id": message["id"], "error": str(err)}
        finally:
            for fd in fds:
                os.close(fd)
        self._send(answer)
        return True

    def _make_standby(self, fds: list[int]) -> None:
        """Fork a standby. The supervisor notices by its end of the socket that there is none, or none any more."""
        with contextlib.ExitStack() as stack:
            for fd in fds:
                stack.callback(os.close, fd)
            try:
                pid = os.fork()
            except OSError as err:
                print(f"no standby: {err}", file=sys.stderr)  # noqa: T201
                return
            if pid == 0:
                self._forget_parent()
                stand_by(socket.socket(fileno=os.dup(fds[0])), fds, self._lead)

    def _start(self, request: SpawnRequest, fds: list[int]) -> dict[str, Any]:
        """Fork; answer when the child has entered its namespace and left its record, or with what stopped it."""
        ready_in, ready_out = os.pipe()
        since = int(self._clock.time() * 1e9)
        pid = os.fork()
        if pid == 0:
            os.close(ready_in)
            self._forget_parent()
            become(request, fds, since, ready_out)
        os.close(ready_out)
        with os.fdopen(ready_in, "rb") as pipe:
            answer = pipe.read()  # ends when the child has closed its end, or is dead
        if not answer.startswith(b"ok"):
            return {"error": answer.decode(errors="replace") or "it ended before it began"}
        return {"pid": pid, "ticks": int(answer.split()[1]), "since": since}

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._send({"exited": pid, "code": os.waitstatus_to_exitcode(status)})

    def _send(self, message: dict[str, Any]) -> None:
        # Without a supervisor, the next one finds out for itself.
        with contextlib.suppress(ConnectionError):
            self._channel.send(json.dumps(message).encode())

    def _replace_supervisor(self) -> bool:
        now = self._clock.monotonic()
        self._respawned = [t for t in self._respawned if now - t < RESPAWN_WITHIN_SECONDS] + [now]
        if len(self._respawned) > RESPAWN_LIMIT:
            print("the supervisor ends again and again: giving up", file=sys.stderr)  # noqa: T201
            return False
        self._selector.unregister(self._channel)
        self._channel.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            self._forget_parent()
            self._respawn(theirs)
        theirs.close()
        self._channel = ours
        self._selector.register(ours, selectors.EVENT_READ)
        return True

    def _forget_parent(self) -> None:
        """In a fresh child: nothing of the zygote's own may stay open or act."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        for end in (self._wake_in, self._wake_out, self._channel):
            end.close()


def _wake(_number: int, _frame: object) -> None:
    """Be there, so that the signal interrupts; the wake-up descriptor tells the loop."""


def stand_by(channel: socket.socket, fds: list[int], lead: Callable[[socket.socket, int], NoReturn]) -> NoReturn:
    """Wait in a fresh fork until the supervisor wants another zygote, or is gone."""
    try:
        os.setsid()
        for fd in fds:
            os.close(fd)
        title = Path("/proc/self/cmdline").read_text().rstrip("\0 ")
        syscalls.set_title(f"{title} (standby)")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        data = channel.recv(MAX_MESSAGE)
        if data:
            lead(channel, int(json.loads(data)["restarts"]))
    except BaseException:  # noqa: BLE001 — the last line of this process
        traceback.print_exc()
    finally:
        os._exit(0)


def become(request: SpawnRequest, fds: list[int], since: int, ready: int) -> NoReturn:
    """Turn a fresh fork into the process that was ordered. ``fds``: the log file, then perhaps the namespace."""
    code = 1
    try:
        os.setsid()
        log, *namespace = fds
        with open(os.devnull, "rb") as null:  # noqa: PTH123 — before anything else may use descriptor 0
            os.dup2(null.fileno(), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if namespace:
            syscalls.setns(namespace[0])
        for fd in fds:
            os.close(fd)
        if request.group:
            syscalls.change_group(request.group)
        syscalls.set_title(f"kubelab: {request.name}")
        os.environ.update(request.environment)
        running = processes.write_own(Path(request.records), request.name, since=since, restarts=request.restarts)
        os.write(ready, f"ok {running.ticks}".encode())
        os.close(ready)
        if request.program:
            os.execve(request.program, [request.program, *request.argv], dict(os.environ))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = int(importlib.import_module(request.module).COMPONENT.main([*request.argv]) or 0)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException as err:  # noqa: BLE001 — the last line of this process: any failure must reach the supervisor
        with contextlib.suppress(OSError):
            os.write(ready, f"{type(err).__name__}: {err}".encode())
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not through the zygote's own frames
