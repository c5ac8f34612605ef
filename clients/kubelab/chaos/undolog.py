"""The undo log: an experiment's actions that are not undone yet. Each is written to disk before it is carried out.

An experiment that is killed cannot clean up after itself. The next command that needs a whole cluster (``kubelab
chaos``, ``kubelab fault heal``) finds its undo log, sees by the lock that no process holds it, and undoes its entries::

    $KUBELAB_HOME/clusters/NAME/experiment.json

Every step can be undone twice, so an entry for an action that was never carried out does no harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from kubelab.client.kubeconfig import home
from kubelab.files import atomicfile

START, RESUME, HEAL, NAMESPACE, TUNNEL = "start", "resume", "heal", "delete namespace", "close tunnel to"


class UndoLogBusy(Exception):
    """Another experiment is under way in this cluster; the message says which process it is."""


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """One thing to undo: start or resume a process, heal a partition, close a tunnel, delete a namespace."""

    undo: str
    target: str
    other: str = ""  # a partition's other side
    one_way: bool = False

    def __str__(self) -> str:
        if self.undo == HEAL:
            return f"heal {self.target} {'→' if self.one_way else '↔'} {self.other}"
        return f"{self.undo} {self.target}"


@dataclass(slots=True)
class UndoLog:
    """The entries of one experiment. Only its holder (see :func:`locked`) may change it."""

    path: Path
    title: str = ""
    entries: list[UndoEntry] = field(default_factory=list[UndoEntry])

    def add(self, entry: UndoEntry) -> None:
        """Write an entry down, before the step that it undoes is taken."""
        if entry not in self.entries:
            self.entries.append(entry)
            self._save()

    def remove(self, entry: UndoEntry) -> None:
        """Cross an entry out, after it was undone."""
        if entry in self.entries:
            self.entries.remove(entry)
            self._save()

    def _save(self) -> None:
        body = {"pid": os.getpid(), "title": self.title, "entries": [asdict(entry) for entry in self.entries]}
        atomicfile.write(self.path, json.dumps(body, ensure_ascii=False), durable=True)


def path_of(cluster: str, folder: Path | None = None) -> Path:
    """Return the path of a cluster's undo log."""
    return (folder or home()) / "clusters" / cluster / "experiment.json"


def read(path: Path) -> tuple[UndoLog, int]:
    """Read an undo log and the pid of its writer; an empty one when there is none or when it cannot be read."""
    try:
        body = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
        return UndoLog(path, str(body["title"]), [UndoEntry(**entry) for entry in body["entries"]]), int(body["pid"])
    except FileNotFoundError:
        return UndoLog(path), 0
    except (ValueError, KeyError, TypeError):  # writes are atomic: only an editor or the like can have broken it
        return UndoLog(path), 0


@contextlib.contextmanager
def locked(path: Path) -> Generator[UndoLog]:
    """Hold the lock of a cluster's experiments; gives what an earlier one left to undo. Raises UndoLogBusy.

    The file is removed when nothing is left to undo.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            other, pid = read(path)
            holder = f': "{other.title}", process {pid}' if pid else ""
            raise UndoLogBusy(f"another experiment is under way in this cluster{holder}") from err
        undo_log, _ = read(path)
        yield undo_log
        if not undo_log.entries:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)
