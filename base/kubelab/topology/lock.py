"""One supervisor per cluster: it holds a lock on a file in the cluster's run folder as long as it lives."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = "hhqqi"  # struct flock: l_type, l_whence, l_start, l_len, l_pid; see fcntl(2)


class AlreadyRunning(Exception):
    """Another process looks after this cluster; ``pid`` is 0 when it has just ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid}")
        self.pid = pid


def take(run: Path) -> int:
    """Be the only one, until the descriptor is closed or this process ends.

    Raises AlreadyRunning; FileNotFoundError when there is no run folder.
    """
    fd = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: a fork must not inherit it
    except OSError as err:
        pid = _holder(fd)
        os.close(fd)
        raise AlreadyRunning(pid or 0) from err
    return fd


def holder(run: Path) -> int | None:
    """Return the pid of the supervisor that holds the lock, even a busy or frozen one; None when it is free."""
    try:
        fd = os.open(run / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, query))
    return None if kind == fcntl.F_UNLCK else int(pid)
