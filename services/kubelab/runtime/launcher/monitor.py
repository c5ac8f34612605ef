"""A container's monitor (containerd's word is shim, CRI-O's is conmon): it mounts the container's root, runs ``crun``,
copies what the container prints into its log, and writes down how it ended.

What the monitor mounts is seen in a mount namespace of its own: when it ends, nothing is left mounted.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubelab.files import atomicfile
from kubelab.linux import syscalls
from kubelab.linux.processes import start_time
from kubelab.runtime.build import stepmounts
from kubelab.runtime.cgroups import groups
from kubelab.runtime.launcher.attached import SOCKET, Attached, Input
from kubelab.runtime.launcher.console import Console, listen
from kubelab.runtime.launcher.following import follow
from kubelab.runtime.launcher.logsink import LogSink, now
from kubelab.runtime.launcher.protocol import Request, mount_root, program, tell
from kubelab.runtime.rootfs import mountpoints, userns, users
from kubelab.runtime.rootfs.inroot import Root

_NO_PROGRAM = re.compile(r"executable file `(.*?)` not found in \$PATH")


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
    home = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = listen(home, SOCKET, socket.SOCK_SEQPACKET)
    os.close(home)
    with program(request["crun"]) as crun:
        with mount_root(request["rootfs"]) as root:
            stepmounts.prepare(request.get("parts", ()))
            _fit(folder / "config.json", root, userns.Users.of_request(request["rootfs"]["users"]))
        status, streams = _run(crun, command, group, request)
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
        atomicfile.write(folder / "started.json", json.dumps({**started, "started_at": now()}))
    except OSError:  # a full disk, or a runtime that was killed and whose successor has removed the container
        os.kill(pid, signal.SIGKILL)
        raise
    if (folder / "exit.json").exists():  # the same successor, a moment earlier: it counts as ended
        os.kill(pid, signal.SIGKILL)
    tell(reply, **started)
    attached = Attached(listener, streams.stdin)
    code = follow(pid, streams.outputs, sink, attached)
    # as containerd says it: also where it is not the first process that was killed
    reason = "OOMKilled" if group.oom_kills() else ""
    atomicfile.write(folder / "exit.json", json.dumps({"exit_code": code, "finished_at": now(), "reason": reason}))
    attached.close()
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


@dataclass(frozen=True, slots=True)
class _Streams:
    """The monitor's ends of a container's streams. ``outputs`` are what it prints, by descriptor."""

    outputs: dict[int, str]
    stdin: Input


def _run(path: str, command: Sequence[str], group: groups.OpenGroup, request: Request) -> tuple[int, _Streams]:
    """Run ``crun``, opened, to its end. Gives its wait status, and the streams of the container that it left."""
    if request.get("terminal"):
        return _run_with_terminal(path, command, group, request)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    stdin = -1
    if request.get("stdin"):
        read_end, stdin = os.pipe2(os.O_CLOEXEC)
    else:
        read_end = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    child = group.run(path, command, (read_end, out_end, err_end))
    for fd in (read_end, out_end, err_end):
        os.close(fd)
    streams = _Streams({out: "stdout", err: "stderr"}, Input(stdin, once=bool(request.get("stdin_once"))))
    return os.waitpid(child, 0)[1], streams


def _run_with_terminal(
    path: str, command: Sequence[str], group: groups.OpenGroup, request: Request
) -> tuple[int, _Streams]:
    console = Console(request["dir"])
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    *start, name = command
    child = group.run(path, [*start, f"--console-socket={console.path}", name], (nothing,) * 3)
    os.close(nothing)
    status = os.waitpid(child, 0)[1]
    terminal = console.take()
    console.close()
    if terminal is None:
        return status, _Streams({}, Input(-1))
    return status, _Streams({terminal: "stdout"}, Input(terminal if request.get("stdin") else -1, terminal=terminal))


def as_runc(text: str) -> str:
    """Say in runc's words, which people search for, that there is no such program; else as crun told it."""
    match = _NO_PROGRAM.search(text)
    if match is None:
        return text
    name = match[1]
    why = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    return f'exec: "{name}": {why}: unknown'
