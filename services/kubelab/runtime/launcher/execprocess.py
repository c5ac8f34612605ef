"""Running a command in a container that runs, on behalf of a runtime: it ends when its caller hangs up.

The runtime may be in another container than the pods. A command that it started itself would be in the runtime's
container as well; started here, it is where the container is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

from kubelab.linux import syscalls
from kubelab.runtime.cgroups import groups
from kubelab.runtime.launcher.protocol import Request, own_mounts, program, tell
from kubelab.runtime.launcher.signals import send


def command(reply: int, request: Request, out: int, err: int) -> None:
    """Run a command by ``crun exec`` and tell its exit code, 128 + n for a signal n.

    The command's end decides, not the end of its output: what it left in the background may hold its pipes open. When
    the other end of ``reply`` is closed before, it is killed with all that it started.
    """
    syscalls.become_subreaper()  # of what crun leaves behind
    argv = [
        "crun", f"--root={request['crun_root']}", "--cgroup-manager=disabled", "exec",
        request["id"], *request["command"],
    ]  # fmt: skip
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    group = groups.Group(request["group"]).open()
    with program(request["crun"]) as path:
        own_mounts()
        crun = group.run(path, argv, (nothing, out, err))
    for fd in (nothing, out, err):
        os.close(fd)
    ended = os.pidfd_open(crun)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(reply, 0)  # poll reports an error without being asked for: the reading end is closed
    if ended not in {fd for fd, _ in poll.poll()}:
        _end_all()
        return
    code = os.waitstatus_to_exitcode(os.waitpid(crun, 0)[1])
    tell(reply, exit_code=code if code >= 0 else 128 - code)


def _end_all() -> None:
    """Kill crun, the command, and what it started. Their pids are valid: only this process waits for them."""
    while descendants := _descendants(os.getpid()):
        for pid in descendants:
            send(pid, signal.SIGKILL)
        os.waitpid(-1, 0)


def _descendants(pid: int) -> list[int]:
    pids: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += [int(child), *_descendants(int(child))]
    return pids
