"""What an experiment has done and not yet undone, on disk, written before it is done.

An experiment that is killed cannot clean up after itself. Whoever comes next (``kubelab chaos``, ``kubelab fault
heal``) finds its ledger, sees by the lock that nobody holds it any more, and undoes what it says::

    $KUBELAB_HOME/clusters/NAME/experiment.json

Every step can be undone twice, so a ledger that says a little too much does no harm.
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


class LedgerBusy(Exception):
    """Another experiment is under way in this cluster; the message says which process it is."""


@dataclass(frozen=True, slots=True)
class Debt:
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
class Ledger:
    """The debts of one experiment. Only its holder (see :func:`holding`) may change it."""

    path: Path
    title: str = ""
    debts: list[Debt] = field(default_factory=list[Debt])

    def owe(self, debt: Debt) -> None:
        """Write a debt down, before what makes it is done."""
        if debt not in self.debts:
            self.debts.append(debt)
            self._save()

    def paid(self, debt: Debt) -> None:
        """Cross a debt out, after it was undone."""
        if debt in self.debts:
            self.debts.remove(debt)
            self._save()

    def _save(self) -> None:
        body = {"pid": os.getpid(), "title": self.title, "debts": [asdict(debt) for debt in self.debts]}
        atomicfile.write(self.path, json.dumps(body, ensure_ascii=False), durable=True)


def path_of(cluster: str, folder: Path | None = None) -> Path:
    """Where a cluster's ledger is."""
    return (folder or home()) / "clusters" / cluster / "experiment.json"


def read(path: Path) -> tuple[Ledger, int]:
    """Read a ledger and the pid of who wrote it; an empty one when there is none or when it says nothing sensible."""
    try:
        body = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
        return Ledger(path, str(body["title"]), [Debt(**debt) for debt in body["debts"]]), int(body["pid"])
    except FileNotFoundError:
        return Ledger(path), 0
    except (ValueError, KeyError, TypeError):  # it is replaced in one step: only somebody else can have broken it
        return Ledger(path), 0


@contextlib.contextmanager
def holding(path: Path) -> Generator[Ledger]:
    """Be the only one who experiments with a cluster; gives what an earlier one still owes. Raises LedgerBusy.

    The file goes when nothing is owed at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            other, pid = read(path)
            told = f': "{other.title}", process {pid}' if pid else ""
            raise LedgerBusy(f"another experiment is under way in this cluster{told}") from err
        ledger, _ = read(path)
        yield ledger
        if not ledger.debts:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)
