"""Copying files into a root file system without ever leaving it, whatever its links say."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from kubelab.runtime import layers

MAX_LINKS = 40


def resolve(root: Path, path: str) -> Path:
    """Find a path as a process inside the root would, with links taken as the root sees them; ValueError on a loop."""
    here = root
    parts = [part for part in path.split("/") if part not in ("", ".")]
    links = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            here = here.parent if here != root else root
            continue
        there = here / part
        if there.is_symlink():
            links += 1
            if links > MAX_LINKS:
                raise ValueError(f"{path}: too many levels of symbolic links")
            target = str(there.readlink())
            if target.startswith("/"):
                here = root
            parts = [p for p in target.split("/") if p not in ("", ".")] + parts
            continue
        here = there
    return here


def copy_into(root: Path, copies: Sequence[tuple[Path, str, bool]]) -> None:
    """Copy files and the contents of folders, owned by root as a Dockerfile's COPY does; with True extract a tar
    archive as ADD does. ValueError."""
    for source, target, extract in copies:
        to = resolve(root, target)
        if extract:
            try:
                _extract(source, root, target)
            except tarfile.TarError as err:
                raise ValueError(f"{source.name}: {err}") from err
        elif source.is_dir() and not source.is_symlink():
            to.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            if target.endswith("/") or to.is_dir():
                to = to / source.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to, follow_symlinks=False)


def _extract(archive: Path, root: Path, target: str) -> None:
    """Extract a tar archive, compressed or not, into a folder; each member is placed as the root's links say."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdev() and not member.isfifo():
                continue  # as with layers
            name = os.path.normpath("/" + member.name).lstrip("/")
            if not name:
                continue
            folder, _, last = name.rpartition("/")
            parent = resolve(root, f"{target}/{folder}")
            parent.mkdir(parents=True, exist_ok=True)
            here = parent / last
            if member.isdir() and here.is_symlink() and resolve(root, f"{target}/{name}").is_dir():
                continue  # /bin, which leads to /usr/bin
            if here.is_symlink() or (here.exists() and not (member.isdir() and here.is_dir())):
                layers.remove(here)
            if member.islnk():
                # joined to a folder, an absolute one stays what it is
                member.linkname = str(resolve(root, f"{target}/{os.path.normpath('/' + member.linkname)}"))
            member.name = last
            tar.extraction_filter = layers.as_it_is
            tar.extract(member, parent, numeric_owner=True)
