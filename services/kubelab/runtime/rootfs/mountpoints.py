"""The places in a root where a container's mounts and its working folder are: made where the image has none.

crun makes them too, but not where a link of the image leads nowhere, as ``/var/run -> /run`` does in an image without
``/run``. Links are taken as the root sees them (:mod:`kubelab.runtime.rootfs.inroot`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelab.runtime.rootfs.inroot import Root


def make(bundle: Mapping[str, Any], root: Root) -> None:
    """Make what is missing for an OCI bundle's mounts and its ``cwd`` in the mounted root. OSError."""
    covered: list[str] = []
    for mount in bundle["mounts"]:
        is_file = mount["type"] == "bind" and not Path(mount["source"]).is_dir()
        covered.append(_make_place(root, mount["destination"], covered, is_file=is_file))
    _make_place(root, bundle["process"]["cwd"], covered, is_file=False)


def _below(path: str, covered: Sequence[str]) -> bool:
    """Whether a path lies in something that is mounted there before."""
    return any(path.startswith(f"{place.rstrip('/')}/") for place in covered)


def _make_place(root: Root, place: str, covered: Sequence[str], *, is_file: bool) -> str:
    """Make one, and give where in the root it is; what is there already stays, and crun says what does not fit."""
    try:
        path = root.resolve(place)
        if _below(path, covered) or root.exists(path):
            return path
        if not is_file:
            root.make_folders(path)
            return path
        with root.parent(path, make=True) as (folder, name), contextlib.suppress(FileExistsError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=folder))
    except OSError as err:
        raise OSError(err.errno, f"failed to make {place} in the root: {os.strerror(err.errno or 0)}") from err
    return path
