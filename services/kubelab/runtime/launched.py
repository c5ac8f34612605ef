"""What everything that the launcher launches has in common: how it answers, what it mounts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelab.runtime import syscalls

CGROUP_ROOT = "/sys/fs/cgroup"
Request = Mapping[str, Any]


def tell(reply: int, **answer: object) -> None:
    """Answer; it does not matter if nobody listens any more."""
    try:
        os.write(reply, json.dumps(answer).encode())
        os.close(reply)
    except OSError as err:
        print(f"launcher: nobody took the answer {answer}: {err}", file=sys.stderr)  # noqa: T201


def write_atomically(path: Path, content: Mapping[str, object]) -> None:
    """Write so that a reader sees all of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(path)


def own_mounts() -> None:
    """From now on, what this process mounts is seen by it and its children alone. No cgroups are seen.

    crun refuses hybrid cgroups even where it is told to leave cgroups alone; an empty folder it accepts.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    if Path(CGROUP_ROOT).is_dir():
        syscalls.mount("tmpfs", CGROUP_ROOT, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def mount_root(root: str, overlays: Sequence[Mapping[str, Any]]) -> None:
    """Mount a root file system part by part, seen by this process and its children alone."""
    own_mounts()
    for overlay in overlays:
        _mount_overlay(str(Path(root + overlay["at"]).absolute()), overlay["lower"], overlay["upper"], overlay["work"])


def _mount_overlay(target: str, lower: Sequence[str], upper: str, work: str) -> None:
    """mount(2) reads one page of options, too little for the paths of many layers: descriptors stand for them, by the
    short names that they have in /proc/self/fd."""
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    opened: list[int] = []
    try:
        opened += (os.open(path, os.O_PATH | os.O_CLOEXEC) for path in lower)
        names = ":".join(map(str, opened))
        options = f"lowerdir={names},upperdir={Path(upper).absolute()},workdir={Path(work).absolute()}"
        os.chdir("/proc/self/fd")
        syscalls.mount("overlay", target, "overlay", 0, options)
    finally:
        os.fchdir(here)
        for fd in (here, *opened):
            os.close(fd)
