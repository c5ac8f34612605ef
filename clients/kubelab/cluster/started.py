"""Which cluster of a home was started last: what a person means who names none, before something is destroyed."""

from __future__ import annotations

from pathlib import Path

from kubelab.client.kubeconfig import give_to_invoker

FILE = "last-started"


def mark(home: Path, name: str) -> None:
    """Note that this cluster was started last."""
    file, temporary = home / FILE, home / f".{FILE}.new"
    temporary.write_text(f"{name}\n")
    give_to_invoker(temporary)
    temporary.replace(file)


def last(home: Path) -> str:
    """Name the cluster that was started last; "" when that is not known."""
    try:
        return (home / FILE).read_text().strip()
    except FileNotFoundError:
        return ""


def forget(home: Path, name: str) -> None:
    """Take the note away when it names this cluster."""
    if last(home) == name:
        (home / FILE).unlink(missing_ok=True)
