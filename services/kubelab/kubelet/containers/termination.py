"""A container's termination message: a file of the node's that is mounted into it, read when the container has ended.

https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/

The container writes that file, so the kubelet trusts nothing of it: it opens it without following a link, reads only a
regular file, and at most a few thousand bytes. The file lies in a folder that only the kubelet's user may enter: a
program with the set-user-ID bit that a container leaves there is out of reach for the node's other users.

Only the end of the file is read (:data:`MAX_BYTES`). The file itself has no bound but the disk, as a container's own
layer and its volumes have none; it goes with its pod, and with the attempt after the next.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.cri.views import MESSAGE_PATH_ANNOTATION, MESSAGE_POLICY_ANNOTATION
from kubelab.kubelet.logs.reader import LogQuery, LogReader

MAX_BYTES = 4096
"""Of one container's file; its end counts."""
MAX_LOG_BYTES, MAX_LOG_LINES = 2048, 80
"""Of a container's log, where it stands in for an empty file."""
MAX_POD_BYTES = 12 * 1024
"""Of all containers of a pod; each has the same share."""
FOLDER = "termination_messages"  # no name that a container can have: each has its log folder beside it


def make(pod_folder: Path, container: str, attempt: int) -> Path:
    """Make an empty file for one attempt of a container, and remove those of attempts before the last. OSError."""
    folder = pod_folder / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.glob(f"{container}.*"):
        number = old.suffix[1:]
        if number.isdigit() and int(number) < attempt - 1:
            old.unlink(missing_ok=True)
    path = folder / f"{container}.{attempt}"
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.fchmod(file, 0o666)  # whatever user the container has
    finally:
        os.close(file)
    return path


async def read_all(
    statuses: Iterable[cri.ContainerStatus], messages: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Add to the message of each container that ended what it left as its termination message.

    Gives these texts by container id; an ended container writes no more, so ``messages`` has what an earlier call gave
    and its file is not read again. A read that failed gives no text: its message says so, and the next call tries
    again.
    """
    ended = [
        one for one in statuses if one.state == cri.CONTAINER_EXITED and MESSAGE_PATH_ANNOTATION in one.annotations
    ]
    texts = {one.id: messages[one.id] for one in ended if one.id in messages} if messages else {}
    failures: dict[str, str] = {}
    if unread := [one for one in ended if one.id not in texts]:
        failures = await asyncio.to_thread(_read_into, texts, unread)
    for one in ended:
        text = texts.get(one.id, "") or failures.get(one.id, "")
        one.message = ": ".join(part for part in (one.message, text) if part)
    return texts


def _read_into(texts: dict[str, str], statuses: Iterable[cri.ContainerStatus]) -> dict[str, str]:
    failures: dict[str, str] = {}
    for status in statuses:
        try:
            texts[status.id] = read(status)
        except OSError as err:
            failures[status.id] = f"Error on reading termination log: {err.strerror}"
    return failures


def read(status: cri.ContainerStatus) -> str:
    """What one ended container left, "" where it left nothing. OSError."""
    place = status.annotations[MESSAGE_PATH_ANNOTATION]
    path = next((mount.host_path for mount in status.mounts if mount.container_path == place), "")
    text = _tail(path) if path else b""
    policy = status.annotations.get(MESSAGE_POLICY_ANNOTATION, "")
    if not text and policy == "FallbackToLogsOnError" and status.exit_code and status.log_path:
        text = _log_tail(status.log_path)
    return text.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _tail(path: str) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""  # removed with the attempts before the last
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            return b""
        return os.pread(file, MAX_BYTES, max(about.st_size - MAX_BYTES, 0))
    finally:
        os.close(file)


def _log_tail(path: str) -> bytes:
    try:
        reader = LogReader(path, LogQuery(tail_lines=MAX_LOG_LINES))
    except FileNotFoundError:
        return b""
    kept = b""
    try:
        while part := reader.read():
            kept = (kept + part)[-MAX_LOG_BYTES:]
    finally:
        reader.close()
    return kept
