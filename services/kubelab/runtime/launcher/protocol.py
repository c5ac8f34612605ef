"""What everything that the launcher launches has in common: how it answers, what it mounts."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from kubelab.linux import syscalls
from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.rootfs.inroot import Root, by_descriptor

CGROUP_ROOT = "/sys/fs/cgroup"
Request = Mapping[str, Any]


def tell(reply: int, **answer: object) -> None:
    """Answer; a peer that has closed its end is no error."""
    try:
        os.write(reply, json.dumps(answer).encode())
        os.close(reply)
    except OSError as err:
        print(f"launcher: the answer {answer} was not received: {err}", file=sys.stderr)  # noqa: T201


def own_mounts() -> None:
    """From now on, what this process mounts is seen by it and its children alone. No cgroups are seen.

    crun refuses hybrid cgroups even with cgroups disabled; it accepts an empty folder.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    if Path(CGROUP_ROOT).is_dir():
        syscalls.mount("tmpfs", CGROUP_ROOT, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def mount_root(request: Request) -> Root:
    """Mount the root that a request describes, seen by this process and its children alone. OSError."""
    own_mounts()
    plan = rootfs.Layout(**request)
    if plan.users:  # the pod's root user cannot walk through the runtime's folders
        Path(plan.root).mkdir(exist_ok=True)
    return rootfs.mount(plan)


@contextlib.contextmanager
def program(path: str) -> Generator[str]:
    """Open a program, before any mount is made: what is run later is what the machine had then.

    Gives the path to run it by, its descriptor's; a script's own, which its interpreter opens again. OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield path if os.pread(fd, 2, 0) == b"#!" else by_descriptor(fd)
    finally:
        os.close(fd)
