"""The cluster that was started last in a home: the default of commands that destroy something."""

from __future__ import annotations

from pathlib import Path

from kubelab.client.kubeconfig import invoker
from kubelab.files import statefile

FILE = "last-started"


def mark(home: Path, name: str) -> None:
    """Note that this cluster was started last."""
    statefile.write(home / FILE, f"{name}\n", owner=invoker())


def last(home: Path) -> str:
    """Name the cluster that was started last; "" when that is not known, for the next `up` notes it again."""
    try:
        return statefile.read(home / FILE, str.strip, remedy="") or ""
    except statefile.BrokenFile:
        return ""


def forget(home: Path, name: str) -> None:
    """Take the note away when it names this cluster."""
    if last(home) == name:
        statefile.make_way(home / FILE)
