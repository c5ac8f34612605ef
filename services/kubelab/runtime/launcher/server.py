"""What has to outlive the runtime: the holder of a pod's namespaces, and one monitor for each container.

A launcher is a small process of one thread, so that it may fork at any time; what it launches shares its memory. It
takes one request after the other from a socket. What it has launched goes on, whatever becomes of it and of those who
asked:

- ``pause`` holds a pod's network, ipc and uts namespaces: a ``sleep`` that was given them.
- ``monitor`` runs a container and looks after it to its end (:mod:`kubelab.runtime.launcher.monitor`).
- ``exec`` runs a command in a container that runs (:mod:`kubelab.runtime.launcher.execprocess`).
- ``task`` changes files of a root that is mounted like a container's, for image builds
  (:mod:`kubelab.runtime.build.tasks`).
- ``host`` makes what the base image ``host`` needs of the machine that pods run on, and finds its control groups.
- ``ungroup`` takes a pod's control groups away.

By default the runtime forks its own, which ends with it (:func:`start`). Where pods run in another container than the
runtime, the launcher is that container's and listens on a socket (:func:`listen`). It serves one runtime at a time: two
that share their folders would take each other's pods for leftovers. A second one is told so and let go; the place is
free as soon as the first has ended, however it ended.

Nothing here awaits, and nothing uses what the runtime had open.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from kubelab.files import atomicfile
from kubelab.linux import syscalls
from kubelab.linux.processes import start_time
from kubelab.runtime.build.tasks import perform
from kubelab.runtime.cgroups import machine as cgroups
from kubelab.runtime.cgroups.groups import Group, prune
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.host import base as hostbase
from kubelab.runtime.host import capabilities
from kubelab.runtime.launcher.execprocess import command
from kubelab.runtime.launcher.monitor import monitor
from kubelab.runtime.launcher.protocol import Request, mount_root, tell
from kubelab.runtime.network import sysctls
from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.rootfs import userns
from kubelab.runtime.rootfs.inroot import Root

MAX_MESSAGE = 256 * 1024
MAX_FDS = 5  # to answer to, and a command's streams
Forked = tuple[socket.socket, int]  # the runtime's end of the socket, and the launcher's pid


def start() -> Forked:
    """Fork the launcher of this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    make_room(ours)
    gc.freeze()  # what is there already stays shared between the processes
    pid = os.fork()
    if pid == 0:
        leave(lambda: _serve(theirs.detach(), -1))
    theirs.close()
    return ours, pid


def make_room(link: socket.socket) -> None:
    """Let a socket take requests of the largest size."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)


def listen(path: Path) -> None:
    """Be the launcher of whichever runtime connects, until killed; only this user may connect. OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen()
    gc.freeze()
    _serve(-1, listener.detach())


def peer(link: socket.socket) -> int:
    """The pid of the process at the other end of a connection; 0 when it is in another pid namespace."""
    return int(struct.unpack("iII", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def _serve(channel: int, listening: int) -> None:
    """Take requests: of one runtime until it is gone, or of one after the other."""
    os.setsid()
    syscalls.set_name("kl-launcher")
    _forget_signals()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the launcher waits for none of its children
    _close_all_but(channel, listening)
    link = socket.socket(fileno=channel) if channel >= 0 else None
    listener = socket.socket(fileno=listening) if listening >= 0 else None
    while link or listener:
        ready, _, _ = select.select([end for end in (link, listener) if end], [], [])
        if link and link in ready:  # first: one who has gone makes room for the next
            if not _take(link, listener):
                link.close()
                link = None
        elif listener:
            link = _admit(listener, link)


def _admit(listener: socket.socket, link: socket.socket | None) -> socket.socket | None:
    """Accept a runtime, or refuse it while another is connected; give the connected one."""
    new, _ = listener.accept()
    try:
        if link is None:
            new.send(json.dumps({"ready": True}).encode())
            return new
        new.send(json.dumps({"error": f"it serves another runtime, process {peer(link)}"}).encode())
    except OSError:  # gone already
        new.close()
        return link
    new.close()
    return link


def _take(link: socket.socket, listener: socket.socket | None) -> bool:
    """Carry out the next request; False when the runtime has closed the connection."""
    try:
        message, fds, _, _ = socket.recv_fds(link, MAX_MESSAGE, MAX_FDS)
    except ConnectionError:
        return False
    if not message:
        return False
    if os.fork() == 0:
        link.close()
        if listener:
            listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in fds:
            os.set_inheritable(fd, False)
        leave(lambda: _answer(fds, json.loads(message)))
    for fd in fds:
        os.close(fd)
    return True


def _answer(fds: list[int], request: Request) -> None:
    """Carry out a request; every failure goes into the answer."""
    os.setsid()
    reply, *streams = fds
    what = request["do"]
    syscalls.set_name(f"kl-{what}")
    try:
        if what == "exec":
            command(reply, request, *streams)
        else:
            {"pause": _pause, "monitor": monitor, "task": perform, "host": _host, "ungroup": _ungroup}[what](
                reply, request
            )
    except (OSError, ValueError) as err:  # ValueError: a name or a path with a NUL byte
        tell(reply, error=str(err))


def leave(body: Callable[[], None]) -> NoReturn:
    """A forked process ends here, whatever happens: the code above it belongs to its parent."""
    code = 1
    try:
        body()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
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


def _pause(reply: int, request: Request) -> None:
    flags = syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if request["users"]:
        userns.enter(request["users"])  # first: the other namespaces are to belong to it
    syscalls.unshare(flags | (0 if request["host_network"] else syscalls.CLONE_NEWNET))
    socket.sethostname(request["hostname"])
    if request["sysctls"]:
        sysctls.write_own(request["sysctls"], host_network=request["host_network"])
    # on disk before anybody knows: a runtime killed right now finds it, or has removed the folder and this fails
    started = {"pid": os.getpid(), "pid_start": start_time(os.getpid()) or 0}
    atomicfile.write(Path(request["dir"]) / "pause.json", json.dumps(started))
    group = Group(request["group"]).make()
    tell(reply, **started)
    group.enter()  # after the answer: the pod's network is made meanwhile
    if request["users"]:
        userns.become_root()
    os.execvp("sleep", ["pause", "infinity"])


def _host(reply: int, request: Request) -> None:
    """Describe this machine as a base image, what it may give to containers, and where its ``crun`` is; ``private``
    folders are not for pods to see."""
    crun = shutil.which(request["crun"])
    if crun is None:
        tell(reply, error=f"{request['crun']}: no such program in PATH")
        return
    folders, hidden = hostbase.system_folders(), hostbase.hidden(Path(path) for path in request["private"])
    skeleton = hostbase.make_skeleton(Path(request["dir"]))
    guarded = _can_guard(Path(request["dir"]), skeleton, folders)
    tell(
        reply,
        crun=os.path.realpath(crun),
        skeleton=str(skeleton),
        folders=folders,
        guarded=guarded,
        userns=_why_no_users(Path(request["dir"]), skeleton, folders, guarded=guarded),
        hidden=hidden if guarded else sorted({*hidden, *hostbase.unreadable(folders)}),
        capabilities=capabilities.own(),
        oom_score_adj=_lowest_oom_score_adj(),
        cgroups=_groups(request).as_json(),
    )


def _groups(request: Request) -> Offer:
    """The node's control groups, with what is in them reduced to ``keep``."""
    offer = cgroups.find(request["cgroup"], Offer.from_json(request["cgroups"]) if request["cgroups"] else None)
    prune(offer, request["keep"])
    return offer


def _ungroup(reply: int, request: Request) -> None:
    """Take a pod's control groups away; what is still in them is killed."""
    Group(request["group"]).remove()
    tell(reply, done=True)


def _can_guard(parent: Path, skeleton: Path, folders: Sequence[str]) -> bool:
    """Whether the host's folders can be shown as an unprivileged user sees them. Not where they lie on an overlay, as
    in a container: the kernel stacks two."""
    with _probe(parent) as probe:
        layout = rootfs.Layout(str(probe / "root"), (), str(probe), str(skeleton), tuple(folders))
        pid = os.fork()
        if pid == 0:
            leave(lambda: mount_root(layout.as_request()).close())
        return os.waitpid(pid, 0)[1] == 0


@contextlib.contextmanager
def _probe(parent: Path) -> Generator[Path]:
    """A folder to try a root in."""
    probe = Path(tempfile.mkdtemp(prefix="probe-", dir=parent))
    try:
        (probe / "root").mkdir()
        yield probe
    finally:
        shutil.rmtree(probe)


def _why_no_users(parent: Path, skeleton: Path, folders: Sequence[str], *, guarded: bool) -> str:
    """Say why pods cannot have users of their own here; "" where they can. All that one takes is tried."""
    read_end, tell_end = os.pipe2(os.O_CLOEXEC)
    with _probe(parent) as probe:
        layout = rootfs.Layout(f"{userns.PLACES}/root", (), str(probe), str(skeleton), tuple(folders), guarded)
        pid = os.fork()
        if pid == 0:
            leave(lambda: _tell_problem(tell_end, layout))
        os.close(tell_end)
        with os.fdopen(read_end, errors="replace") as reader:
            why = reader.read()
        return why if os.waitpid(pid, 0)[1] == 0 else why or "they cannot be made"


def _tell_problem(to: int, layout: rootfs.Layout) -> None:

    def mount(users: userns.Users) -> Root:
        return mount_root(replace(layout, users=users.as_request()).as_request())

    os.write(to, userns.problem(mount).encode())


def _lowest_oom_score_adj() -> int:
    """How far this short-lived process may lower its own: that needs CAP_SYS_RESOURCE of the machine itself."""
    path = Path("/proc/self/oom_score_adj")
    now = int(path.read_text())
    try:
        path.write_text("-1000")
    except PermissionError:
        return now
    return -1000
