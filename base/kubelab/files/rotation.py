"""Rotate log files that have grown too long to ``NAME.1``.

A file is renamed where its writers open it again (each checks whether it is still at its path). It is copied and then
truncated where the writers keep it open and append; a line that is written between the two steps is lost. A
container's log has a scheme of its own, upstream's (:mod:`kubelab.kubelet.logs.rotation`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

Rotate = Callable[[Path, int], None]


def previous(path: Path) -> Path:
    """Return the path of the rotated part of a log."""
    return path.with_name(f"{path.name}.1")


def longer(path: Path, size: int) -> bool:
    """Whether a file has more bytes than this; one that is not there has none."""
    try:
        return path.stat().st_size > size
    except FileNotFoundError:
        return False


def by_renaming(path: Path, size: int) -> None:
    """Put aside a log that is longer than this. Several processes may do so at once: one of them does. OSError."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if longer(path, size):  # otherwise another process was faster
            path.replace(previous(path))


def by_copying(path: Path, size: int, *, mode: int = 0o600) -> None:
    """Copy a log that is longer than this aside, and empty it; a disk without room for both keeps the log. OSError."""
    if longer(path, size):
        shutil.copyfile(path, previous(path))
        previous(path).chmod(mode)
        os.truncate(path, 0)
