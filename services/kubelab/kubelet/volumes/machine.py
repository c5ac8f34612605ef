"""The machine's own folders and mounts, as the node's pods get them.

Where the kubelet runs on the machine itself, they are its own. Where it runs in a container of its own beside the
machine (docker compose), they are those of a process of the machine, ``machine_pid``: what is mounted in the kubelet's
own namespace no pod would see. A thread enters that process's mount namespace (setns(2)), does the work, and ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kubelab.linux import syscalls

T = TypeVar("T")


class MachineMounts:
    """All methods block; OSError where the kernel does not let."""

    def __init__(self, machine_pid: int = 0) -> None:
        self._pid = machine_pid

    def do(self, work: Callable[[], T]) -> T:
        """Run this where paths and mounts are the machine's; gives what it gives, raises what it raises."""
        if not self._pid:
            return work()
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                syscalls.unshare(syscalls.CLONE_FS)  # the root and the working folder are a thread's own from here on
                namespace = os.open(f"/proc/{self._pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    syscalls.setns(namespace, syscalls.CLONE_NEWNS)
                finally:
                    os.close(namespace)
                results.append(work())
            except BaseException as err:  # noqa: BLE001 — the caller's thread raises it
                errors.append(err)

        thread = threading.Thread(target=enter, name="machine-mounts")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def below(self, folder: Path) -> list[Path]:
        """Where something is mounted in a folder, or on it: the deepest first."""
        beginning = f"{folder}/"
        places: list[str] = []
        with Path(f"/proc/{self._pid or 'self'}/mountinfo").open("rb") as table:
            for line in table:
                place = _unescaped(line.split(b" ", 5)[4])
                if place == str(folder) or place.startswith(beginning):
                    places.append(place)
        return [Path(place) for place in sorted(places, key=lambda p: (p.count("/"), len(p)), reverse=True)]

    def is_mounted(self, place: Path) -> bool:
        return place in self.below(place)

    def unmount_below(self, folder: Path) -> None:
        """Take every mount in a folder away, and on it. OSError for one that stays."""
        for place in self.below(folder):
            self.do(lambda place=place: syscalls.unmount(place))

    def tmpfs(self, place: Path, options: str) -> None:
        """Mount memory at a folder that is there."""
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        self.do(lambda: syscalls.mount("tmpfs", str(place), "tmpfs", flags, options))


def _unescaped(place: bytes) -> str:
    """proc(5): space, tab, newline and backslash are octal."""
    for code, sign in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        place = place.replace(code, sign)
    return os.fsdecode(place)
