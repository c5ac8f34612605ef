"""Copying files into a root file system without ever leaving it, whatever its links say."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

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


def copy_into(root: Path, copies: Sequence[tuple[Path, str]]) -> None:
    """Copy files and the contents of folders, owned by root as a Dockerfile's COPY does."""
    for source, target in copies:
        to = resolve(root, target)
        if source.is_dir() and not source.is_symlink():
            to.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            if target.endswith("/") or to.is_dir():
                to = to / source.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to, follow_symlinks=False)
