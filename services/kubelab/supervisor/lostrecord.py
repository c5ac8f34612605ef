"""A cluster whose record was removed. No command finds it any more, so it ends itself.

A test that is killed leaves its cluster running in a temporary folder, and somebody removes the folder later. Without
its data etcd ends, and everything else would ask for it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from kubelab.linux import syscalls
from kubelab.linux.folderwatch import FolderWatch

_REMOVAL = syscalls.IN_DELETE | syscalls.IN_DELETE_SELF | syscalls.IN_MOVED_FROM | syscalls.IN_MOVE_SELF


async def removed(record: Path) -> None:
    """Wait until a file is gone. Raises OSError when the kernel cannot tell."""
    try:
        watch = FolderWatch(record.parent, _REMOVAL)
    except FileNotFoundError:
        return  # its folder is gone already
    with contextlib.closing(watch):
        while await asyncio.to_thread(record.exists):
            await watch.changed.wait()
            watch.changed.clear()
