"""Layers: from a tar archive to a folder that overlay takes as a lower one, and back
(https://github.com/opencontainers/image-spec/blob/main/layer.md)."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import IO

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"


class BadLayer(ValueError):
    """The archive is not a layer."""


def unpack(archive: IO[bytes], target: Path) -> None:
    """Unpack an uncompressed or compressed tar; whiteouts become what overlay understands. BadLayer."""
    root = os.path.realpath(target)
    try:
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            # _place has checked where a member goes; Python 3.14's own filter would drop modes and absolute links
            tar.extraction_filter = as_it_is
            for member in tar:
                _place(tar, member, target, root)
    except tarfile.TarError as err:
        raise BadLayer(f"not a layer: {err}") from err


def as_it_is(member: tarfile.TarInfo, _target: str) -> tarfile.TarInfo:
    """A filter for members whose place was checked already."""
    return member


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, root: str) -> None:
    name = os.path.normpath(member.name.lstrip("/"))
    if name == ".":
        return
    path = target / name
    parent = os.path.realpath(path.parent)
    if parent != root and not parent.startswith(root + "/"):
        raise BadLayer(f"{member.name}: leads out of the layer")
    if path.name == OPAQUE:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.setxattr(path.parent, OPAQUE_XATTR, b"y")
        return
    if path.name.startswith(WHITEOUT):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(path.parent / path.name.removeprefix(WHITEOUT), stat.S_IFCHR, os.makedev(0, 0))
        return
    if member.isdev() and not member.isfifo():
        return  # no container may open the machine's devices, and it has those of /dev
    if path.is_symlink() or (path.exists() and not (member.isdir() and path.is_dir())):
        remove(path)
    member.name = name
    if member.islnk():
        linked = os.path.realpath(target / os.path.normpath(member.linkname.lstrip("/")))
        if not linked.startswith(root + "/"):
            raise BadLayer(f"{member.name}: links to {member.linkname}, out of the layer")
        member.linkname = os.path.normpath(member.linkname.lstrip("/"))
    tar.extract(member, target, numeric_owner=True)


def remove(path: Path) -> None:
    """Make room for what comes instead: a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def pack(folder: Path, archive: IO[bytes]) -> None:
    """Write a folder (an overlay's upper one) as a layer's tar, in a fixed order."""
    with tarfile.open(fileobj=archive, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for base, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted((*folders, *files)):
                path = Path(base) / name
                inside = str(path.relative_to(folder))
                status = path.lstat()
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    whiteout = tarfile.TarInfo(str(Path(inside).parent / (WHITEOUT + name)))
                    tar.addfile(whiteout)
                    continue
                info = tar.gettarinfo(str(path), inside)
                info.uname = info.gname = ""
                if info.isreg():
                    with path.open("rb") as content:
                        tar.addfile(info, content)
                else:
                    tar.addfile(info)
                if info.isdir() and _is_opaque(path):
                    tar.addfile(tarfile.TarInfo(f"{inside}/{OPAQUE}"))


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, OPAQUE_XATTR) == b"y"
    except OSError:
        return False
