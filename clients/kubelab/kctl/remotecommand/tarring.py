"""The tar that ``kctl cp`` sends or receives. Everything blocks; a tar from a container is a stranger's."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from kubelab.kctl.session import Failed

Warn = Callable[[str], None]


def pack(source: Path, name: str, to: IO[bytes]) -> None:
    """Write a file or a folder as ``name``. BrokenPipeError where the other side has ended."""
    with tarfile.open(fileobj=to, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        tar.add(str(source), arcname=name)


def unpack(stream: IO[bytes], prefix: str, to: Path, hint: str, warn: Warn) -> int:
    """Write the members below ``prefix`` to a path of this machine; gives how many files there were.

    What would lie elsewhere is left out with a warning, and links are: ``hint`` says how else to have them. Failed for
    members of other names.
    """
    count = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = posixpath.normpath(member.name).lstrip("/")
            if name != prefix and not name.startswith(f"{prefix}/") and prefix not in ("", "."):
                raise Failed("error: tar contents corrupted")
            inside = name if prefix in ("", ".") else name[len(prefix) :].lstrip("/")
            place = Path(posixpath.normpath(to / inside)) if inside else to
            if not _below(to, place):
                warn(f'warning: file "{member.name}" is outside target destination, skipping')
                continue
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.issym() or member.islnk():
                warn(f'warning: skipping symlink: "{member.name}" -> "{member.linkname}" ({hint})')
            elif content := tar.extractfile(member):
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, _new(place, member.mode & 0o777) as file:
                    shutil.copyfileobj(content, file)
                count += 1
    return count


def _below(top: Path, place: Path) -> bool:
    """Whether a path is really there: a link of this machine below ``top`` may lead elsewhere."""
    real = Path(os.path.realpath(place.parent if place != top else place))
    return place == top or real.is_relative_to(os.path.realpath(top))


def _new(path: Path, mode: int) -> IO[bytes]:
    """Open a file anew, the file itself and nothing that a link names."""
    if path.is_symlink():
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    return os.fdopen(fd, "wb")
