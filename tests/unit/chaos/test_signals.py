"""Whatever asks an experiment to end ends it, and waits while it is undone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from kubelab.chaos import signals


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_it_ends_gracefully(number: signal.Signals) -> None:
    signals.install_handlers()
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.code == signals.GRACEFULLY


def test_what_is_to_outlive_its_terminal_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install_handlers()
    told: list[str] = []
    with signals.deferred(told.append):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    assert told == []


@pytest.mark.parametrize("number", signals.ENDING, ids=lambda number: number.name)
def test_while_it_is_undone_a_signal_gets_a_line(number: signal.Signals) -> None:
    told: list[str] = []
    with signals.deferred(told.append):
        os.kill(os.getpid(), number)
    assert told == [f"{number.name}: undoing what was done, one moment"]
