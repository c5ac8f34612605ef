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
        options = f"lowerdir={':'.join(overlay['lower'])},upperdir={overlay['upper']},workdir={overlay['work']}"
        syscalls.mount("overlay", root + overlay["at"], "overlay", 0, options)
