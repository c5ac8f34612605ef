"""Mount points that crun made in an image: they are no files of the step, and leave it again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from kubelab.runtime.host.base import Host
from kubelab.runtime.rootfs.inroot import Root


def remove(written: Path, layers: Iterable[Path], targets: Iterable[str], host: Host | None) -> None:
    """Remove from what a step wrote the empty files and folders at its mounts' places that no layer below has, nor
    the host where it is the base."""
    with ExitStack() as opened:
        root = opened.enter_context(Root.at(written))
        bottom = [host.skeleton] if host else []
        below = [opened.enter_context(Root.at(layer)) for layer in (*layers, *bottom)]
        folders = host.folders if host else ()
        for target in sorted(targets, reverse=True):
            path = "/" + target.strip("/")
            while path != "/" and not any(layer.exists(path) for layer in below):
                of_host = any(path.startswith(f"{folder}/") for folder in folders) and os.path.lexists(path)
                if of_host or not _remove_empty(root, path):
                    break
                path = path.rpartition("/")[0] or "/"


def is_empty(written: Path) -> bool:
    """Whether a step wrote nothing."""
    with Root.at(written) as root:
        return not root.list()


def _remove_empty(root: Root, path: str) -> bool:
    try:
        fd = root.open(path, os.O_PATH, follow=False, links=False)
    except OSError:  # it is not there, or behind a link
        return False
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if stat.S_ISDIR(status.st_mode) and not root.list(path):
        root.remove(path)
        return True
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        root.remove(path)
        return True
    return False
