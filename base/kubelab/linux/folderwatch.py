"""Changes of a folder, as the kernel tells them (inotify(7))."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from kubelab.linux import syscalls

_EVENT_BYTES = 4096


class FolderWatch:
    """Sets :attr:`changed` when one of the events of ``mask`` happens in a folder. :meth:`close` it.

    Has an inotify instance of its own, whose descriptor the event loop reads. Raises OSError when the kernel has none
    (left), or there is no such folder.
    """

    def __init__(self, folder: str | Path, mask: int) -> None:
        self.changed = asyncio.Event()
        self._fd = syscalls.inotify()
        try:
            syscalls.inotify_add_watch(self._fd, folder, mask)
        except OSError:
            os.close(self._fd)
            raise
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _readable(self) -> None:
        try:
            while os.read(self._fd, _EVENT_BYTES):
                self.changed.set()
        except BlockingIOError:
            return
