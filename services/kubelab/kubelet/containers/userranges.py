"""Which users of the machine a pod has that has users of its own (``hostUsers: false``).

Each such pod gets 65,536 numbers, as upstream's kubelet gives them
(https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/): the first range begins at 65,536, the lowest that
is free is taken. A range is written down before the pod gets it, so that a kubelet that is started again gives it to
no other pod.

Every method but :meth:`UserRanges.has` may write the file: they are called in threads, by several pods' workers at
once, and one lock makes them serial, so that two pods never find the same range free.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from pathlib import Path

from kubelab.files import atomicfile, statefile
from kubelab.kubelet.containers.environment import ConfigError

LENGTH = 65_536
REMEDY = "remove it when no pod with users of its own is left on the node"


class UserRanges:
    """The ranges of one node's pods, kept in a file; ``most`` are given at once. All methods but :meth:`has` raise
    ConfigError for a file that cannot be read."""

    def __init__(self, file: Path, most: int) -> None:
        self._file, self._most = file, most
        self._bases: dict[str, int] | None = None
        self._lock = threading.Lock()

    def has(self, uid: str) -> bool:
        """Whether a pod may have a range; reads no file, so that the event loop can ask."""
        return self._bases is None or uid in self._bases

    def of(self, uid: str) -> int:
        """Give a pod's first number, the same at each call. OSError where it cannot be written down, ConfigError where
        every range is in use, or the file is no list of ranges."""
        with self._lock:
            bases = self._known()
            if uid not in bases:
                taken = set(bases.values())
                free = (base for base in range(LENGTH, LENGTH * (self._most + 1), LENGTH) if base not in taken)
                base = next(free, 0)
                if not base:
                    raise ConfigError(f"spec.hostUsers: false: all {self._most} ranges of users are in use")
                self._write({**bases, uid: base})
            return self._known()[uid]

    def keep(self, uids: Collection[str]) -> None:
        """Take the ranges back of all pods but these. OSError where that cannot be written down."""
        with self._lock:
            bases = self._known()
            kept = {uid: base for uid, base in bases.items() if uid in uids}
            if kept != bases:
                self._write(kept)

    def forget(self, uid: str) -> None:
        """Take a pod's range back; one that has none is no error. OSError where that cannot be written down."""
        with self._lock:
            if uid in (bases := self._known()):
                self._write({other: base for other, base in bases.items() if other != uid})

    def _known(self) -> dict[str, int]:
        if self._bases is None:
            self._bases = self._read()
        return self._bases

    def _read(self) -> dict[str, int]:
        try:
            return statefile.read(self._file, _bases, remedy=REMEDY) or {}
        except statefile.BrokenFile as err:
            raise ConfigError(str(err)) from err

    def _write(self, bases: dict[str, int]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        atomicfile.write(self._file, json.dumps(bases))
        self._bases = bases


def _bases(text: str) -> dict[str, int]:
    bases = statefile.json_object(text)
    if not all(type(base) is int for base in bases.values()):
        raise TypeError("expected a number for each pod")
    return bases
