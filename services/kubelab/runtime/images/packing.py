"""Layers, the way back: from an overlay's upper folder to a tar archive."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import IO

from kubelab.runtime.images.layers import OPAQUE, OPAQUE_XATTR, WHITEOUT, is_kept
from kubelab.runtime.oci.tarball import XATTR


def clean(folder: Path) -> None:
    """Remove what no layer may have: devices of the machine, and sockets, whose processes have ended."""
    for base, _, files in os.walk(folder):
        for path in (Path(base) / name for name in files):
            mode, device = path.lstat().st_mode, path.lstat().st_rdev
            is_device = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and device != 0)  # 0: a whiteout
            if is_device or stat.S_ISSOCK(mode):
                path.unlink()


def pack(folder: Path, archive: IO[bytes]) -> None:
    """Write a folder (an overlay's upper one, cleaned) as a layer's tar, in a fixed order."""
    with tarfile.open(fileobj=archive, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for base, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted((*folders, *files)):
                _pack(tar, Path(base) / name, folder)


def _pack(tar: tarfile.TarFile, path: Path, folder: Path) -> None:
    inside = str(path.relative_to(folder))
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        tar.addfile(tarfile.TarInfo(str(Path(inside).parent / (WHITEOUT + path.name))))
        return
    info = tar.gettarinfo(str(path), inside)
    info.uname = info.gname = ""
    if info.isreg() or info.isdir():
        info.pax_headers = _xattrs(path)
    if info.isreg():
        with path.open("rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)
    if info.isdir() and _is_opaque(path):
        tar.addfile(tarfile.TarInfo(f"{inside}/{OPAQUE}"))


def _xattrs(path: Path) -> dict[str, str]:
    """What :func:`kubelab.runtime.images.layers.apply` keeps, as PAX records."""
    kept = (name for name in sorted(os.listxattr(path, follow_symlinks=False)) if is_kept(name))
    return {
        XATTR + name: os.getxattr(path, name, follow_symlinks=False).decode("utf-8", "surrogateescape") for name in kept
    }


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, OPAQUE_XATTR) == b"y"
    except OSError:
        return False
