"""Files that come with kubelab: the experiments, and the app that they run."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve()


class NotBundled(Exception):
    """This installation lacks a folder; the message names it."""


def folder(name: str) -> Path:
    """Find ``experiments`` or ``examples/…``: beside this module in a wheel, at the top of a work tree."""
    for root in (_HERE.parent, _HERE.parents[3]):
        if (root / name).is_dir():
            return root / name
    raise NotBundled(f"this installation of kubelab has no folder {name}; use a clone of the project")
