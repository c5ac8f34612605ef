"""Starting a supervisor, with programs of the test's own in its place."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.cluster import launch
from kubelab.linux.processes import start_time
from kubelab.topology.record import Record

NEVER_READY = """#!{python}
import os, signal, sys
print(os.getpid(), file=open({pid!r}, "w"), flush=True)
os.write(int(sys.argv[-1]), b"step certificates\\n")
signal.pause()
"""
BUSY = """#!{python}
import os, sys
os.write(int(sys.argv[-1]), b"busy\\n")
"""


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "home", "lab", "00000000", ("cp-1",), (4000,))


def stand_in(path: Path, text: str) -> str:
    """A program that is given the supervisor's arguments, the descriptor to tell steps to as the last."""
    path.write_text(text.format(python=sys.executable, pid=str(path.with_name("pid"))))
    path.chmod(0o700)
    return str(path)


async def steps(record: Record) -> list[str]:
    async with aclosing(launch.launch(record)) as told:
        return [step async for step in told]


async def test_another_one_that_is_there_is_told_apart(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "busy", BUSY))
    with pytest.raises(launch.Busy):
        await steps(record)


async def test_one_that_hangs_ends_with_the_patience_for_it(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "hangs", NEVER_READY))
    async with aclosing(launch.launch(record)) as told:
        assert await anext(told) == "certificates"
        pid = int((tmp_path / "pid").read_text())
        waiting = asyncio.ensure_future(anext(told))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await launch.wait_ended(pid, 10.0)
    assert start_time(pid) is None


def test_a_home_in_which_nothing_was_made_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with launch.home_locked(home):
        assert home.is_dir()
    assert not home.exists()
    with launch.home_locked(home):
        (home / "clusters").mkdir()
    assert home.is_dir()
