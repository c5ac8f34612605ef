"""Signals during an experiment: the first one ends it, and none interrupts the undoing.

Chaos Toolkit raises an ``Exception`` for SIGTERM. The code that runs at that moment (a logger, an activity) may catch
it as its own failure. No code catches SystemExit(20), by which Chaos Toolkit itself ends gracefully
(``chaoslib.exit``).
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Generator
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when the terminal is closed
GRACEFULLY = 20


def install_handlers() -> None:
    """Let SIGTERM and SIGHUP end the experiment wherever it is; Python has SIGINT raise already."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: it is to outlive the terminal
        signal.signal(signal.SIGHUP, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(GRACEFULLY)


@contextlib.contextmanager
def deferred(print_line: Callable[[str], None]) -> Generator[None]:
    """While the body runs, print a line for each signal instead of ending."""

    def wait(number: int, frame: FrameType | None) -> None:
        print_line(f"{signal.Signals(number).name}: undoing what was done, one moment")

    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, wait) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
