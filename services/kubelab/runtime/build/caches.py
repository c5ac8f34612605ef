"""What builds remember: the layer of each step by what it came from, and the folders of ``--mount=type=cache``.

::

    build-cache/KEY.json        the layer that a step made, or that it changed nothing
    build-cache/mounts/ID/0/    the content of a cache mount; 1, 2 … for those that do not share it
    build-cache/mounts/ID/0.lock
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import IO, Any

from kubelab.runtime.pods import state
from kubelab.runtime.build.draft import Draft
from kubelab.runtime.build.mounts import Mount
from kubelab.runtime.images.store import Store
from kubelab.runtime.threads import in_thread


def key_of(*parts: str) -> str:
    """The digest of texts; another one for other texts, or other borders between them."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode(errors="surrogateescape")
        whole.update(f"{len(encoded)}:".encode() + encoded)
    return whole.hexdigest()


class LayerCache:
    """Steps that were done before. A layer that the store has lost counts as never made."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def use(self, draft: Draft, key: str) -> bool:
        """Take a step's result from before, if there is one."""
        entry = state.read_json(self._folder / f"{key}.json", diff_id=(str, type(None)), layer=(dict, type(None)))
        if entry is None:
            return False
        if entry["diff_id"] is not None:
            try:
                here = self._store.has_layer(entry["diff_id"]) and self._store.blob(entry["layer"]["digest"]).exists()
            except (TypeError, KeyError, ValueError):  # written by something else
                return False
            if not here:
                return False
            draft.layers.append(entry["layer"])
            draft.diff_ids.append(entry["diff_id"])
        draft.chain = key
        return True

    def keep(self, draft: Draft, key: str, diff_id: str | None, layer: dict[str, Any] | None) -> None:
        """Remember a step's result, and go on with it."""
        state.write_json(self._folder / f"{key}.json", {"diff_id": diff_id, "layer": layer})
        if diff_id is not None and layer is not None:
            draft.layers.append(layer)
            draft.diff_ids.append(diff_id)
        draft.chain = key


class CacheMounts:
    """Folders that outlive a step: ``shared`` by all at once, ``locked`` for one after the other, or ``private``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns: dict[str, asyncio.Lock] = {}  # one waits for a file's lock in a thread, the others here

    @contextlib.asynccontextmanager
    async def use(self, mount: Mount, target: str) -> AsyncGenerator[Path]:
        """The folder of a cache mount, as long as it is used."""
        folder = self._folder / key_of(mount.name or target)
        async with contextlib.AsyncExitStack() as held:
            if mount.sharing == "locked":
                await held.enter_async_context(self._turns.setdefault(folder.name, asyncio.Lock()))
            yield await held.enter_async_context(in_thread(_used(folder, mount)))


@contextlib.contextmanager
def _used(folder: Path, mount: Mount) -> Generator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, mount.sharing) as number:
        cache_folder = folder / str(number)
        if not cache_folder.is_dir():
            cache_folder.mkdir()
            os.chown(cache_folder, mount.uid or 0, mount.gid or 0)
            cache_folder.chmod(0o755 if mount.mode is None else mount.mode)
        yield cache_folder


@contextlib.contextmanager
def _locked(folder: Path, sharing: str) -> Generator[int]:
    """Hold the lock of a folder, and give its number: of the first one that is free where it is ``private``."""
    number = 0
    while True:
        lock: IO[str] = (folder / f"{number}.lock").open("w")
        try:
            if sharing == "private":
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX if sharing == "locked" else fcntl.LOCK_SH)
        except BlockingIOError:
            lock.close()
            number += 1
            continue
        with lock:
            yield number
        return
