"""What a power cut leaves: after a rename the name is there, but its bytes only if they were written out before."""

from __future__ import annotations

import os
from pathlib import Path

from kubelab.linux import syscalls


def move(part: Path, path: Path) -> None:
    """Give a file its name, its bytes first and then the name itself written out."""
    flush(part)
    part.rename(path)
    flush(path.parent)


def move_folder(part: Path, path: Path) -> None:
    """Give a folder of many files its name. The file system is written out once: cheaper than file by file."""
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.syncfs(descriptor)
    finally:
        os.close(descriptor)
    part.rename(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Write a file, or a folder's names, out to the disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
