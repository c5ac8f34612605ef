"""Signals to processes that are not this one's children, and by the names that images give them."""

from __future__ import annotations

import os
import re
import signal


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone needs none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def signal_number(name: str) -> int:
    """``SIGTERM``, ``term``, ``15``, ``SIGRTMIN+3``; SIGTERM for what is none."""
    if name.isdecimal():
        return int(name)
    bare = name.upper().removeprefix("SIG")
    if real_time := re.fullmatch(r"(RTMIN|RTMAX)([+-]\d{1,2})?", bare):
        number = signal.Signals[f"SIG{real_time[1]}"] + int(real_time[2] or 0)
        return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else signal.SIGTERM
    return getattr(signal.Signals, f"SIG{bare}", signal.SIGTERM)
