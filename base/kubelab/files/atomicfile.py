"""Write files atomically: a reader sees the old or the new content, whole.

The bytes go into a temporary file in the same folder, which rename(2) then puts in place of the old one. After a power
cut the new name may exist without its bytes, unless fsync(2) wrote them first: ``durable`` does that.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubelab.linux import syscalls

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(
    path: Path,
    content: str | bytes,
    *,
    mode: int = 0o666,
    owner: tuple[int, int] | None = None,
    durable: bool = False,
) -> None:
    """Replace a file in one step; texts are UTF-8. ``mode`` is lessened by the umask, ``owner`` is user and group.

    Several may write the same file at once: the last one's content stays, whole. OSError; the old file stays then.
    """
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(part, _NEW, mode), "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content.encode() if isinstance(content, str) else content)
        if durable:
            move(part, path)
        else:
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
