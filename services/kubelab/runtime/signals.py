"""Signals to processes that are not this one's children, and by the names that images give them."""

from __future__ import annotations

import os
import signal


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone needs none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def signal_number(name: str) -> int:
    """``SIGTERM``, ``TERM``, ``15``; SIGTERM for what is none."""
    if name.isdecimal():
        return int(name)
    full = name if name.startswith("SIG") else f"SIG{name}"
    return getattr(signal, full, signal.SIGTERM)
