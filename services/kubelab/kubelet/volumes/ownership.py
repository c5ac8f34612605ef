"""Who may use a volume's files: ``fsGroup`` of the pod, and the one user of all its containers.

https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
(upstream: ``pkg/volume/volume_linux.go``).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubelab.api.core.v1 import core_pb2

_READ_WRITE, _READ_ONLY, _FOLDER = 0o660, 0o440, 0o110 | stat.S_ISGID


def group_of(pod: core_pb2.Pod) -> int | None:
    """The group that owns the pod's volumes; None where none is asked for."""
    context = pod.spec.securityContext
    return context.fsGroup if context.HasField("fsGroup") else None


def user_of(pod: core_pb2.Pod) -> int | None:
    """The user that every container of the pod runs as; None where they differ, or one does not say."""
    shared = pod.spec.securityContext
    users: set[int | None] = set()
    for container in (*pod.spec.initContainers, *pod.spec.containers):
        own = container.securityContext
        given = own if own.HasField("runAsUser") else shared
        users.add(given.runAsUser if given.HasField("runAsUser") else None)
    return users.pop() if len(users) == 1 else None


def give(folder: Path, group: int | None, *, read_only: bool) -> None:
    """Give a tree to a group, as far as it may be used: read, or written too. OSError.

    Each file is opened first and changed by its descriptor, so that no link that appears meanwhile leads elsewhere.
    """
    if group is None:
        return
    more = _READ_ONLY if read_only else _READ_WRITE
    for _, folders, files, at in os.fwalk(folder, follow_symlinks=False):
        for name in (".", *files, *folders):
            _give_at(at, name, group, more)


def _give_at(at: int, name: str, group: int, more: int) -> None:
    file = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISLNK(mode):
            return  # its own group and mode mean nothing
        path = Path(f"/proc/self/fd/{file}")  # a descriptor of O_PATH takes no fchown(2)
        os.chown(path, -1, group)
        path.chmod(stat.S_IMODE(mode) | more | (_FOLDER if stat.S_ISDIR(mode) else 0))
    finally:
        os.close(file)
