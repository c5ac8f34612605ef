"""A start that comes to nothing changes nothing. Programs of the test's own stand in for the supervisor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.cli import up
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import launch
from kubelab.topology.record import Record

STAND_IN = """#!{python}
import os, signal, sys
if "--clean" not in sys.argv:
    os.write(int(sys.argv[-1]), {told!r})
    if {told!r}.startswith(b"step"):
        signal.pause()
"""
BEFORE = {"kubelet": {"maxPods": 20}}


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A stopped cluster, beside another one that is the current one."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    config = Kubeconfig(path=tmp_path / "kubeconfig")
    for name in ("lab", "other"):
        config.set_cluster(name, server="https://127.0.0.1:1", ca=b"a", certificate=b"b", key=b"c")
    config.write()
    record = Record(tmp_path / "home", "lab", "00000000", ("cp-1",), (1,), BEFORE)
    record.save()
    return record


async def begin(before: Record, told: str, monkeypatch: pytest.MonkeyPatch) -> int:
    program = before.home / "supervisor"
    program.write_text(STAND_IN.format(python=sys.executable, told=told.encode()))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    clock = SystemClock()
    options = up.UpOptions(before.home, "lab", None, None, {"kubelet": {"maxPods": 30}}, wait=True, seconds=0.5)
    rules = LoadingRules((before.home.parent / "kubeconfig",))
    return await up._begin(options, before, rules, "other", clock, clock.monotonic())


async def test_another_supervisor_keeps_its_record(before: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(launch.Busy):
        await begin(before, "busy\n", monkeypatch)
    assert Record.load(before.home, "lab") == before


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("failed kubelet: unknown key\n", "kubelet: unknown key"),
        ("step certificates\n", "Not up after 0.5 s: the supervisor does not answer"),
    ],
    ids=["refused", "hangs"],
)
async def test_a_cluster_that_does_not_start_is_as_it_was(
    before: Record, told: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await begin(before, told, monkeypatch) == 1
    assert says in capsys.readouterr().err
    assert Record.load(before.home, "lab") == before
    assert Kubeconfig.load(before.home.parent / "kubeconfig").current_context == "other"


def test_the_shell_is_told_how_to_find_the_programs(tmp_path: Path) -> None:
    """A fresh shell, one in which they are found, one below make, and a folder without an environment."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    kctl, activate = folder / "kctl", folder / "activate"
    kctl.write_text("#!/bin/sh\n")
    kctl.chmod(0o755)
    program = folder / "kubelab"
    assert up.path_lines(program, tmp_path, {"PATH": "/bin"}) == [f'export PATH="{folder}:$PATH"']
    activate.write_text("")
    assert up.path_lines(program, tmp_path, {"PATH": "/bin"}) == [". .venv/bin/activate"]
    assert up.path_lines(program, tmp_path / "elsewhere", {"PATH": "/bin"}) == [f". {activate}"]
    assert up.path_lines(program, tmp_path, {"PATH": f"/bin:{folder}"}) == []
    assert up.path_lines(program, tmp_path, {"PATH": f"/bin:{folder}", "MAKELEVEL": "1"}) == [". .venv/bin/activate"]
