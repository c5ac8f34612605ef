"""What has to outlive the runtime: the holder of a pod's namespaces, and one monitor for each container.

A launcher is forked before the runtime has a server, a channel or a thread, so that it may fork again at any time; its
children share its memory. It takes one request after the other from a socket and ends with the runtime. What it has
launched goes on:

- ``pause`` holds a pod's network, ipc and uts namespaces: a ``sleep`` that was given them.
- ``monitor`` mounts a container's root in a mount namespace of its own (nothing is left mounted when it ends), runs
  ``crun``, copies what the container prints into its log, waits for its end, and writes down how it ended.
- ``task`` does something to a root that is mounted like a container's, for image builds.

Nothing here awaits, and nothing uses what the runtime had open.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kubelab.apimachinery.clock import SystemClock
from kubelab.runtime import syscalls

MAX_MESSAGE = 256 * 1024
LOG_LINE = 16 * 1024  # longer lines are written in parts, as containerd does
CGROUP_ROOT = "/sys/fs/cgroup"
_NO_PROGRAM = re.compile(r"executable file `(.*?)` not found in \$PATH")
CLOCK = SystemClock()  # wall time, for people to read; nothing waits by it
Request = Mapping[str, Any]


def _now() -> int:
    """Nanoseconds since the epoch."""
    return int(CLOCK.time() * 1e9)


def start() -> tuple[socket.socket, int]:
    """Fork the launcher. Gives the runtime's end of the socket and the launcher's pid."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
    gc.freeze()  # what is there already stays shared between the processes
    pid = os.fork()
    if pid == 0:
        _leave(lambda: _serve(theirs.detach()))
    theirs.close()
    return ours, pid


def _serve(channel: int) -> None:
    """Take requests until the runtime is gone."""
    os.setsid()
    syscalls.set_name("kl-launcher")
    _forget_signals()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what is launched
    _close_all_but(channel)
    link = socket.socket(fileno=channel)
    while True:
        message, fds, _, _ = socket.recv_fds(link, MAX_MESSAGE, 1)
        if not message:
            return
        request, reply = json.loads(message), fds[0]
        if os.fork() == 0:
            link.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _leave(lambda: _answer(reply, request))  # noqa: B023 — called before the loop goes on
        os.close(reply)


def _answer(reply: int, request: Request) -> None:
    """Do what was asked; whatever goes wrong is told to the one who asked."""
    os.setsid()
    try:
        {"pause": _pause, "monitor": _monitor, "task": _task}[request["do"]](reply, request)
    except OSError as err:
        _tell(reply, error=str(err))


def _tell(reply: int, **answer: object) -> None:
    """Answer; it does not matter if nobody listens any more."""
    try:
        os.write(reply, json.dumps(answer).encode())
        os.close(reply)
    except OSError as err:
        print(f"launcher: nobody took the answer {answer}: {err}", file=sys.stderr)  # noqa: T201


def _leave(body: Callable[[], None]) -> NoReturn:
    """A forked process ends here, whatever happens: the code above it belongs to its parent."""
    code = 1
    try:
        body()
        code = 0
    except BaseException:  # noqa: BLE001 — nothing may unwind into the parent's frames
        traceback.print_exc()
    finally:
        os._exit(code)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _close_all_but(*keep: int) -> None:
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the descriptor that listed the folder


def _write_atomically(path: Path, content: Mapping[str, object]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(path)


# --- pause


def _pause(reply: int, request: Request) -> None:
    flags = syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    syscalls.unshare(flags | (0 if request["host_network"] else syscalls.CLONE_NEWNET))
    socket.sethostname(request["hostname"])
    # on disk before anybody knows: a runtime killed right now finds it, or has removed the folder and this fails
    started = {"pid": os.getpid(), "pid_start": syscalls.start_time(os.getpid())}
    _write_atomically(Path(request["dir"]) / "pause.json", started)
    _tell(reply, **started)
    os.execvp("sleep", ["pause", "infinity"])


# --- a container


def mount_root(root: str, overlays: Sequence[Mapping[str, Any]]) -> None:
    """Mount a root file system part by part, seen by this process and its children alone."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    for overlay in overlays:
        options = f"lowerdir={':'.join(overlay['lower'])},upperdir={overlay['upper']},workdir={overlay['work']}"
        syscalls.mount("overlay", root + overlay["at"], "overlay", 0, options)
    if Path(CGROUP_ROOT).is_dir():
        # crun refuses hybrid cgroups even where it is told to leave cgroups alone; an empty folder it accepts
        syscalls.mount("tmpfs", CGROUP_ROOT, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def _monitor(reply: int, request: Request) -> None:
    syscalls.set_name("kl-monitor")
    syscalls.become_subreaper()
    folder = Path(request["dir"])
    mount_root(request["root"], request["overlays"])
    sink = LogSink(request["log_path"])
    log, pid_file = folder / "crun.log", folder / "pid"
    log.unlink(missing_ok=True)
    command = [
        request["crun"], f"--root={request['crun_root']}", "--cgroup-manager=disabled", f"--log=file:{log}", "run",
        "--detach", f"--bundle={folder}", f"--pid-file={pid_file}", request["id"],
    ]  # fmt: skip
    status, out, err = _run_with_pipes(command)
    if status != 0:
        told = log.read_text().strip() if log.exists() else ""
        last = told.splitlines()[-1] if told else f"crun ended with {os.waitstatus_to_exitcode(status)}"
        _tell(reply, error=as_runc(last))
        return
    pid = int(pid_file.read_text())
    started = {
        "pid": pid,
        "pid_start": syscalls.start_time(pid),
        "monitor": os.getpid(),
        "monitor_start": syscalls.start_time(os.getpid()),
    }
    try:
        _write_atomically(folder / "started.json", {**started, "started_at": _now()})
    except OSError:  # a full disk, or a runtime that was killed and whose successor has removed the container
        os.kill(pid, signal.SIGKILL)
        raise
    if (folder / "exit.json").exists():  # the same successor, a moment earlier: it counts as ended
        os.kill(pid, signal.SIGKILL)
    _tell(reply, **started)

    def on_hangup(_number: int, _frame: object) -> None:
        sink.reopen()

    signal.signal(signal.SIGHUP, on_hangup)
    code = _follow(pid, {out: "stdout", err: "stderr"}, sink)
    _write_atomically(folder / "exit.json", {"exit_code": code, "finished_at": _now()})


def _run_with_pipes(command: Sequence[str]) -> tuple[int, int, int]:
    """Run a program to its end. Gives its wait status, and the pipes on which it, or what it left, prints."""
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, out_end, 1), (os.POSIX_SPAWN_DUP2, err_end, 2)]
    child = os.posix_spawnp(command[0], [*command], os.environ, file_actions=actions)
    for fd in (nothing, out_end, err_end):
        os.close(fd)
    return os.waitpid(child, 0)[1], out, err


def as_runc(told: str) -> str:
    """Say in runc's words, which people search for, that there is no such program; else as crun told it."""
    found = _NO_PROGRAM.search(told)
    if found is None:
        return told
    name = found[1]
    why = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    return f'exec: "{name}": {why}: unknown'


def _follow(pid: int, streams: Mapping[int, str], sink: LogSink) -> int:
    """Copy what is printed until the container ends; give its exit code, 128 + n for a signal n."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (*streams, ended):
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    open_streams = set(streams)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        for fd in ready & open_streams:
            if not _pump(fd, streams[fd], sink):
                poll.unregister(fd)
                open_streams.discard(fd)
        if ended in ready:
            break
    for fd in open_streams:
        _pump(fd, streams[fd], sink)
    sink.flush()
    while True:  # the container's own children may have become ours as well
        found, status = os.waitpid(-1, 0)
        if found == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _pump(fd: int, stream: str, sink: LogSink) -> bool:
    """Copy what is there now; False at the end of the stream."""
    while True:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        sink.write(stream, data)


class LogSink:
    """A container's log in the CRI's format: ``2016-10-06T00:17:09.669794202Z stdout F message``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._fd = -1
        self._failed = False
        self.reopen()

    def reopen(self) -> None:
        """Write to the path's file, also after somebody has moved the old one away."""
        if not self._path:
            return
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._fd < 0:
            self._fd = fd
            return
        # a signal calls this in the middle of a write: the descriptor's number has to stay good
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def write(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        now = _now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z {stream} "
        found: list[bytes] = []
        for line in lines:
            found += self._parts(stamp, line)
        while len(rest) > LOG_LINE:
            found.append(f"{stamp}P ".encode() + rest[:LOG_LINE] + b"\n")
            rest = rest[LOG_LINE:]
        self._rest[stream] = rest
        if self._fd >= 0 and found:
            self._append(b"".join(found))

    def _append(self, data: bytes) -> None:
        """A log that cannot be written (the disk is full) loses lines; the container goes on."""
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as err:
            if not self._failed:
                print(f"{self._path}: lines are lost: {err}", file=sys.stderr)  # noqa: T201
            self._failed = True
        else:
            self._failed = False

    def flush(self) -> None:
        """Write lines that never ended."""
        for stream, rest in self._rest.items():
            if rest:
                self.write(stream, b"\n")

    @staticmethod
    def _parts(stamp: str, line: bytes) -> list[bytes]:
        parts: list[bytes] = []
        while len(line) > LOG_LINE:
            parts.append(f"{stamp}P ".encode() + line[:LOG_LINE] + b"\n")
            line = line[LOG_LINE:]
        return [*parts, f"{stamp}F ".encode() + line + b"\n"]


# --- a step of an image build


def _task(reply: int, request: Request) -> None:
    """Copy files into a mounted root: ``copies`` is a list of [source, destination in the root]."""
    from kubelab.runtime.copying import copy_into

    mount_root(request["root"], request["overlays"])
    try:
        copy_into(Path(request["root"]), [(Path(source), target) for source, target in request["copies"]])
    except ValueError as err:
        _tell(reply, error=str(err))
        return
    _tell(reply, done=True)
