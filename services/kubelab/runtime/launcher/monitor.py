"""A container's monitor (containerd's word is shim, CRI-O's is conmon): it mounts the container's root, runs ``crun``,
copies what the container prints into its log, and writes down how it ended.

What the monitor mounts is seen in a mount namespace of its own: when it ends, nothing is left mounted.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from kubelab.files import atomicfile
from kubelab.linux import syscalls
from kubelab.linux.processes import start_time
from kubelab.runtime.build import stepmounts
from kubelab.runtime.cgroups import groups
from kubelab.runtime.launcher.protocol import Request, mount_root, program, tell
from kubelab.runtime.rootfs import mountpoints, userns, users
from kubelab.runtime.rootfs.inroot import Root

LOG_LINE = 16 * 1024  # longer lines are written in parts, as containerd does
_NO_PROGRAM = re.compile(r"executable file `(.*?)` not found in \$PATH")
CLOCK = SystemClock()  # wall time, for people to read; nothing waits by it


def _now() -> int:
    """Nanoseconds since the epoch."""
    return int(CLOCK.time() * 1e9)


def monitor(reply: int, request: Request) -> None:
    syscalls.become_subreaper()
    folder = Path(request["dir"])
    sink = LogSink(request["log_path"])

    def on_hangup(_number: int, _frame: object) -> None:
        try:
            sink.reopen()
        except OSError as err:  # the old file has to do; whatever is raised here would end the container
            print(f"{request['log_path']}: not begun again: {err}", file=sys.stderr)  # noqa: T201

    signal.signal(signal.SIGHUP, on_hangup)  # before anybody knows of us: else it would end us
    log, pid_file = folder / "crun.log", folder / "pid"
    log.unlink(missing_ok=True)
    command = [
        "crun", f"--root={request['crun_root']}", "--cgroup-manager=disabled", f"--log=file:{log}", "run",
        "--detach", f"--bundle={folder}", f"--pid-file={pid_file}", request["id"],
    ]  # fmt: skip
    group = groups.Group(request["group"]).make()
    with program(request["crun"]) as crun:
        with mount_root(request["rootfs"]) as root:
            stepmounts.prepare(request.get("parts", ()))
            _fit(folder / "config.json", root, userns.Users.of_request(request["rootfs"]["users"]))
        status, out, err = _run_with_pipes(crun, command, group)
    if status != 0 or not pid_file.exists():  # crun says 0 also where it could not fork
        tell(reply, error=_why(status, log, group))
        group.remove()
        return
    pid = int(pid_file.read_text())
    started = {
        "pid": pid,
        "pid_start": start_time(pid) or 0,  # 0: it has ended already
        "monitor": os.getpid(),
        "monitor_start": start_time(os.getpid()) or 0,
    }
    try:
        atomicfile.write(folder / "started.json", json.dumps({**started, "started_at": _now()}))
    except OSError:  # a full disk, or a runtime that was killed and whose successor has removed the container
        os.kill(pid, signal.SIGKILL)
        raise
    if (folder / "exit.json").exists():  # the same successor, a moment earlier: it counts as ended
        os.kill(pid, signal.SIGKILL)
    tell(reply, **started)
    code = _follow(pid, {out: "stdout", err: "stderr"}, sink)
    # as containerd says it: also where it is not the first process that was killed
    reason = "OOMKilled" if group.oom_kills() else ""
    atomicfile.write(folder / "exit.json", json.dumps({"exit_code": code, "finished_at": _now(), "reason": reason}))
    group.remove()


def _why(status: int, log: Path, group: groups.OpenGroup) -> str:
    """Why there is no container, in runc's words."""
    if group.oom_kills():
        return "container init was OOM-killed (memory limit too low?)"
    text = log.read_text().strip() if log.exists() else ""
    return as_runc(text.splitlines()[-1] if text else f"crun ended with {os.waitstatus_to_exitcode(status)}")


def _fit(config: Path, root: Root, pod_users: userns.Users | None) -> None:
    """Look the container's user up in its mounted root, where links and layers are as the container sees them, and make
    what is missing there to mount its files on."""
    bundle = json.loads(config.read_text())
    mountpoints.make(bundle, root)
    users.settle(bundle["process"], root)
    if pod_users:
        userns.adapt(bundle, pod_users)
    config.write_text(json.dumps(bundle))


def _run_with_pipes(path: str, command: Sequence[str], group: groups.OpenGroup) -> tuple[int, int, int]:
    """Run an opened program to its end. Gives its wait status, and the pipes on which it, or what it left, prints."""
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    child = group.run(path, command, (nothing, out_end, err_end))
    for fd in (nothing, out_end, err_end):
        os.close(fd)
    return os.waitpid(child, 0)[1], out, err


def as_runc(text: str) -> str:
    """Say in runc's words, which people search for, that there is no such program; else as crun told it."""
    match = _NO_PROGRAM.search(text)
    if match is None:
        return text
    name = match[1]
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
        ended_pid, status = os.waitpid(-1, 0)
        if ended_pid == pid:
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
        """Write to the path's file, also after the kubelet has moved the old one away."""
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
        parts: list[bytes] = []
        for line in lines:
            parts += self._parts(stamp, line)
        while len(rest) > LOG_LINE:
            parts.append(f"{stamp}P ".encode() + rest[:LOG_LINE] + b"\n")
            rest = rest[LOG_LINE:]
        self._rest[stream] = rest
        if self._fd >= 0 and parts:
            self._append(b"".join(parts))

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
