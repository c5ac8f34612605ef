"""Running a command in a container that runs, on behalf of a runtime: it ends when its caller hangs up.

The runtime may be in another container than the pods. A command that it started itself would be in the runtime's
container as well; started here, it is where the container is.

What belongs to a command is known by a control group of its own, below the container's: a process that its parent has
left becomes a child of the container's first process, which tells nothing of where it came from. A machine without
control groups has the command's descendants and its session instead; there a daemon that has left both goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubelab.linux import syscalls
from kubelab.linux.processes import kill_and_wait
from kubelab.runtime.cgroups import groups
from kubelab.runtime.launcher.console import Console
from kubelab.runtime.launcher.monitor import as_runc
from kubelab.runtime.launcher.protocol import Request, own_mounts, program, tell
from kubelab.runtime.pods.spec import TERM


def command(reply: int, request: Request, *passed: int) -> None:
    """Run a command by ``crun exec`` and tell its exit code, 128 + n for a signal n.

    The request's ``streams`` name the passed descriptors: ``stdin``, ``stdout`` and ``stderr``, or ``console``, a
    socket on which the command's terminal is sent; ``alive`` is held for as long as this process lives.

    The command's end decides, not the end of its output: what it left in the background may hold its pipes open. When
    the other end of ``reply`` is closed before, it is killed with all that it started.
    """
    syscalls.become_subreaper()  # of what crun leaves behind
    given = dict(zip(request["streams"], passed, strict=True))
    members = groups.Group(request["group"]).open().subgroup(f"exec-{os.getpid()}")
    console = Console(request["dir"]) if "console" in given else None
    try:
        crun, log = _start(request, given, members, console)
        for name in ("stdin", "stdout", "stderr"):
            if name in given:
                os.close(given[name])
        if not _wait(crun, reply, console, given.get("console", -1)):
            _end_all(members)
            return
    finally:
        if console:
            console.close()
    code = os.waitstatus_to_exitcode(os.waitpid(crun, 0)[1])
    members.release()
    if told := os.pread(log, 65536, 0).decode("utf-8", "replace").strip():
        tell(reply, error=as_runc(told.splitlines()[-1]))
    else:
        tell(reply, exit_code=code if code >= 0 else 128 - code)


def _start(
    request: Request, given: Mapping[str, int], members: groups.Subgroup, console: Console | None
) -> tuple[int, int]:
    """Start crun; gives its pid, and the file into which it writes why there is no command."""
    log = os.memfd_create("crun.log")
    process = os.memfd_create("process.json")
    os.write(process, json.dumps(_process(request, terminal=console is not None)).encode())
    own = f"/proc/{os.getpid()}/fd"
    argv = [
        "crun", f"--root={request['crun_root']}", "--cgroup-manager=disabled", f"--log=file:{own}/{log}", "exec",
        f"--process={own}/{process}", *([f"--console-socket={console.path}"] if console else []), request["id"],
    ]  # fmt: skip
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    with program(request["crun"]) as path:
        own_mounts()
        crun = members.run(path, argv, [given.get(name, nothing) for name in ("stdin", "stdout", "stderr")])
    os.close(nothing)
    return crun, log


def _process(request: Request, *, terminal: bool) -> dict[str, Any]:
    """Describe the command: it has what the container's own process was given, never more."""
    bundle = json.loads((Path(request["dir"]) / "config.json").read_text())
    process: dict[str, Any] = {**bundle["process"], "args": request["command"], "terminal": terminal}
    if terminal and not any(text.startswith("TERM=") for text in process["env"]):
        process["env"] = [*process["env"], TERM]
    return process


def _wait(crun: int, reply: int, console: Console | None, terminals: int) -> bool:
    """Wait until crun has ended, and send the terminal to the caller as soon as there is one; False when the caller has
    hung up before."""
    ended = os.pidfd_open(crun)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(reply, 0)  # poll reports an error without being asked for: the reading end is closed
    if console:
        poll.register(console, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if console and console.fileno() in ready:
            poll.unregister(console)
            _hand_over(console, terminals)
        if ended in ready:
            return True
        if reply in ready:
            return False


def _hand_over(console: Console, terminals: int) -> None:
    terminal = console.take()
    link = socket.socket(fileno=terminals)
    with contextlib.suppress(ConnectionError), link:  # the caller has gone: that is seen where it is waited for
        if terminal is not None:
            socket.send_fds(link, [b"t"], [terminal])
    if terminal is not None:
        os.close(terminal)


def _end_all(members: groups.Subgroup) -> None:
    """Kill crun, the command, and what it started."""
    members.kill()
    own_session = os.getsid(0)
    sessions = set[int]()
    while victims := _descendants(os.getpid()) | _of_sessions(sessions):
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                sessions.add(os.getsid(pid))
        sessions.discard(own_session)
        kill_and_wait(victims)
        _reap()
    members.release()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants(pid: int) -> set[int]:
    pids = set[int]()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids |= {int(child), *_descendants(int(child))}
    return pids


def _of_sessions(sessions: set[int]) -> set[int]:
    """The processes of sessions, but those that have ended and that nobody waits for."""
    pids = set[int]()
    for entry in Path("/proc").iterdir() if sessions else ():
        if entry.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) in sessions and fields[0] not in ("Z", "X"):
                    pids.add(int(entry.name))
    return pids
