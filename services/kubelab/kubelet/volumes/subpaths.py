"""``subPath``: a file or a folder inside a volume, mounted instead of the whole.

A container writes the volume, so it may put a link there and change it at any moment (CVE-2017-1002101). The kernel
resolves the path as a process would whose root the volume is (openat2(2), RESOLVE_IN_ROOT), and what it found is bound
by its descriptor to a place of the kubelet's own, which the runtime gets (upstream: ``pkg/volume/util/subpath``)::

    <state_dir>/pods/<uid>/volume-subpaths/<volume>/<container>/<number of the mount>
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.linux import syscalls

_IN = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


def bind(volume: Path, path: str, place: Path) -> None:
    """Mount what is at ``path`` in the volume at ``place``, anew where something is mounted there; a folder that is
    missing is made. Blocks. OSError, VolumeError."""
    root = os.open(volume, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(root).st_mode):
            raise VolumeError(f"failed to prepare subPath: {volume} is not a directory")
        found = _opened(root, path, stat.S_IMODE(os.fstat(root).st_mode))
    except ValueError as err:
        raise VolumeError(f"failed to prepare subPath: {err}") from err
    finally:
        os.close(root)
    try:
        _make_place(place, is_folder=stat.S_ISDIR(os.fstat(found).st_mode))
        syscalls.bind(f"/proc/self/fd/{found}", place)
    finally:
        os.close(found)


def _opened(root: int, path: str, mode: int) -> int:
    """Open what is there without acting on it; make the folders that are missing, as the volume's own mode is."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", ".")]
    if ".." in parts:
        raise VolumeError(f"subPath {path!r} must not contain '..'")
    for number in range(1, len(parts) + 1):
        part = "/".join(parts[:number])
        try:
            os.close(syscalls.openat2(root, part, os.O_PATH, _IN))
        except FileNotFoundError:
            _make_folder(root, "/".join(parts[: number - 1]), parts[number - 1], mode)
    return syscalls.openat2(root, "/".join(parts) or ".", os.O_PATH, _IN)


def _make_folder(root: int, above: str, name: str, mode: int) -> None:
    parent = syscalls.openat2(root, above or ".", os.O_PATH | os.O_DIRECTORY, _IN)
    try:
        os.mkdir(name, dir_fd=parent)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchmod(made, mode)  # by its descriptor: the name may be a link by now
        finally:
            os.close(made)
    except FileExistsError:
        raise VolumeError(f"failed to prepare subPath: {name} is a link that leads nowhere") from None
    finally:
        os.close(parent)


def _make_place(place: Path, *, is_folder: bool) -> None:
    """Make an empty folder or file to mount on, in a folder that only the kubelet's user may enter."""
    while True:
        try:
            syscalls.unmount(place)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOENT):  # nothing is mounted there, or nothing is there
                raise
            break
    place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if place.is_dir() and not is_folder:
        place.rmdir()
    elif place.exists() and not place.is_dir() and is_folder:
        place.unlink()
    if is_folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
