"""hostPath: a file or a folder of the machine. It is checked, and made where the type says so; never removed.

https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types (upstream: ``pkg/volume/hostpath``).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubelab.kubelet.volumes.errors import VolumeError

TYPES = {
    "Directory": (stat.S_ISDIR, "directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "FileOrCreate": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def set_up(path: str, kind: str) -> None:
    """Check the path as its type asks. Blocks. OSError, VolumeError.

    Without a type the path may be anything; where nothing is there, a folder is made, as container runtimes do.
    """
    place = Path(path)
    if kind == "":
        if not place.exists():
            place.mkdir(parents=True, exist_ok=True)
        return
    if kind not in TYPES:
        raise VolumeError(f'hostPath type check failed: unknown type "{kind}"')
    if not place.exists():
        if kind == "DirectoryOrCreate":
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    is_it, name = TYPES[kind]
    try:
        right = is_it(place.stat().st_mode)
    except FileNotFoundError:
        right = False
    if not right:
        raise VolumeError(f"hostPath type check failed: {path} is not a {name}")
