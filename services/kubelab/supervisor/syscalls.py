"""The few system calls that Python 3.11 does not have: namespaces, mounts, prctl and inotify.

All of them act on the calling thread or process at once and raise OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNET = 0x40000000
NSFS_MAGIC = 0x6E736673

_MS_BIND = 4096
_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_IN_MODIFY = 0x2
_IN_NONBLOCK = 0o4000
_IN_CLOEXEC = 0o2000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace behind ``fd``."""
    _check(_libc.setns(fd, kind), "setns")


def unshare(kind: int = CLONE_NEWNET) -> None:
    """Give the calling thread a new namespace."""
    _check(_libc.unshare(kind), "unshare")


def bind_mount(source: str, target: Path) -> None:
    """Show ``source`` at ``target`` as well; for a namespace file, this keeps the namespace alive."""
    _check(_libc.mount(source.encode(), bytes(target), None, _MS_BIND, None), str(target))


def unmount(target: Path) -> None:
    """Take a mount away now, even while it is used."""
    _check(_libc.umount2(bytes(target), _MNT_DETACH), str(target))


def is_namespace(path: Path) -> bool:
    """Is this a mounted namespace, and not the empty file under it?"""

    class Statfs(ctypes.Structure):
        _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 248))

    answer = Statfs()
    if _libc.statfs(bytes(path), ctypes.byref(answer)) < 0:
        return False
    return answer.f_type == NSFS_MAGIC


def become_subreaper() -> None:
    """Be the parent of every orphan below this process, instead of the machine's init."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def change_group(group: int) -> None:
    """Be of another group in every respect but the supplementary ones. Files made from now on belong to it."""
    os.setresgid(group, group, group)
    # A change of group hides a process from others of its user (its memory's size, say) until it says otherwise.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def set_title(title: str) -> None:
    """Show ``title`` in ps and top, cut to the room that this process's command line has."""
    _libc.prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
    room = end - start
    if room > 1:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)


def inotify() -> int:
    """Open an inotify descriptor that does not block."""
    return _check(_libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC), "inotify_init1")


def inotify_modified(fd: int, path: Path) -> int:
    """Watch a file for writes; gives the watch's number."""
    return _check(_libc.inotify_add_watch(fd, bytes(path), _IN_MODIFY), str(path))
