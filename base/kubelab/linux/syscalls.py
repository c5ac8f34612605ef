"""The Linux calls that Python 3.11 does not offer: namespaces, mounts, prctl, openat2, inotify.

Each acts on the calling thread or process at once and raises OSError with the kernel's errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
from collections.abc import Generator
from pathlib import Path

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC = 0x1000, 0x4000
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

NSFS_MAGIC = 0x6E736673

IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_IN_NONBLOCK, _IN_CLOEXEC = 0o4000, 0o2000000

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10

_OPENAT2 = 437  # the same on every architecture that Python's wheels are built for; glibc has no wrapper
_AGAIN = 256  # tries; openat2(2) gives EAGAIN when something is renamed or mounted while it walks through ".."

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36

_CLONE3, _CLONE_INTO_CGROUP = 435, 0x200000000  # the number is every machine's

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the numbers are every machine's
_OPEN_TREE_CLONE, _AT_EMPTY_PATH, _AT_FDCWD, _MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP = 1, 0x1000, -100, 4, 0x100000

_libc = ctypes.CDLL(None, use_errno=True)
_holding = ctypes.PyDLL(None, use_errno=True)  # does not let go of the interpreter meanwhile


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


class _OpenHow(ctypes.Structure):
    """struct open_how (openat2(2))."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(dir_fd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2), Linux 5.6 or newer; the descriptor is closed on exec. OSError; ValueError for a NUL in the path."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    number = errno.EAGAIN
    for _ in range(_AGAIN):
        size = ctypes.c_size_t(ctypes.sizeof(how))
        fd = _libc.syscall(ctypes.c_long(_OPENAT2), dir_fd, name, ctypes.byref(how), size)
        if fd >= 0:
            return fd
        if (number := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number), path)


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (unshare(2))."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace behind a descriptor (setns(2))."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(done, f"mount {kind} at {target}")


def bind(source: str, target: str | Path) -> None:
    """Mount a file or a folder at a second place (mount(2), MS_BIND)."""
    mount(source, str(target), "none", MS_BIND)


def unmount(target: Path) -> None:
    """Take a mount away now, even while it is used (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(bytes(target), MNT_DETACH), f"umount {target}")


def is_namespace(path: Path) -> bool:
    """Say whether a mounted namespace is at this path, and not the empty file under it (statfs(2))."""

    class Statfs(ctypes.Structure):
        _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 248))

    answer = Statfs()
    if _libc.statfs(bytes(path), ctypes.byref(answer)) < 0:
        return False
    return answer.f_type == NSFS_MAGIC


class _MountAttributes(ctypes.Structure):
    """struct mount_attr (mount_setattr(2))."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_idmapped(fd: int, user_namespace: int, target: str) -> None:
    """Mount what a descriptor is of, alone, at a second place, with the owners of files mapped by a user namespace
    (open_tree(2), mount_setattr(2), move_mount(2); Linux 5.12)."""
    clone = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH
    tree = _libc.syscall(_OPEN_TREE, fd, b"", ctypes.c_uint(clone))
    _check(min(tree, 0), "open_tree")
    try:
        attributes = _MountAttributes(attr_set=_MOUNT_ATTR_IDMAP, userns_fd=user_namespace)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        done = _libc.syscall(_MOUNT_SETATTR, tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), ctypes.byref(attributes), size)
        _check(done, "mount_setattr")
        at = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
        _check(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), at), f"mount at {target}")
    finally:
        os.close(tree)


@contextlib.contextmanager
def file_access_of(user: int) -> Generator[None]:
    """Use files as a user without groups and capabilities over files, whose group has the user's number.

    For the calling thread, in a process of one thread (setfsuid(2), setgroups(2)). OSError where that may not be.
    """
    groups, before = os.getgroups(), (_libc.setfsgid(-1), _libc.setfsuid(-1))
    os.setgroups([])
    try:
        _libc.setfsgid(user)
        _libc.setfsuid(user)  # the kernel takes CAP_DAC_OVERRIDE and its like away, until it is 0 again
        if (_libc.setfsgid(-1), _libc.setfsuid(-1)) != (user, user):
            raise OSError(errno.EPERM, f"setfsuid {user}: {os.strerror(errno.EPERM)}")
        yield
    finally:
        _libc.setfsuid(before[1])
        _libc.setfsgid(before[0])
        os.setgroups(groups)


def make_mounts_private() -> None:
    """Make later mounts visible to this process and its children only; they end with them."""
    done = _libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    _check(done, "mount --make-rprivate /")


def syncfs(fd: int) -> None:
    """Write the file system that a descriptor is on out to its disk (syncfs(2))."""
    _check(_libc.syncfs(fd), "syncfs")


def set_name(name: str) -> None:
    """The name that ``ps`` shows, 15 bytes at most."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)


def become_subreaper() -> None:
    """Orphans below this process become its children (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_title(title: str) -> None:
    """Show ``title`` in ps and top, cut to the room that this process's command line has."""
    set_name(title)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
    room = end - start
    if room > 1:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)


def change_group(group: int) -> None:
    """Be of another group in every respect but the supplementary ones. Files made from now on belong to it."""
    os.setresgid(group, group, group)
    # A change of group hides a process from others of its user (its memory's size, say) until it says otherwise.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Be killed when the parent ends, from now on (prctl(2), PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def join_session_keyring() -> None:
    """Create a new session keyring (keyctl(2)), as each container has. Does nothing where its number is unknown."""
    number = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine)
    if number is not None and _libc.syscall(number, 1, None) < 0:
        _check(-1, "keyctl")


class _CloneArguments(ctypes.Structure):
    """clone(2), ``struct clone_args`` of Linux 5.7."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


def fork_into(group: int) -> int:
    """fork(2), with the child born in a control group of version 2, given by its folder (clone3(2)). Only for a
    process of one thread whose child does no more than execve(2): Python's own fork handlers do not run."""
    arguments = _CloneArguments(flags=_CLONE_INTO_CGROUP, exit_signal=int(signal.SIGCHLD), cgroup=group)
    pid: int = _holding.syscall(_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if pid < 0:
        _check(-1, "clone3")
    return pid


def inotify() -> int:
    """Open an inotify descriptor that does not block (inotify_init1(2))."""
    return _check(_libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC), "inotify_init1")


def inotify_add_watch(fd: int, path: str | Path, mask: int) -> int:
    """Watch a file or a folder; gives the watch's number (inotify_add_watch(2))."""
    return _check(_libc.inotify_add_watch(fd, os.fsencode(path), mask), f"inotify_add_watch {path}")
