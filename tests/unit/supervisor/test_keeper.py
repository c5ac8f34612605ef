"""A keeper with a spawner of the test's own: what is asked of it before its process runs, and what it finds running."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from kubelab.apimachinery.errors import BadRequest
from kubelab.component import logs
from kubelab.linux.processes import start_time
from kubelab.supervisor import health, processes
from kubelab.supervisor.keeper import ProcessKeeper, ProcessSpec, last_line
from kubelab.supervisor.keeperstates import KeeperState
from kubelab.supervisor.processes import Running
from kubelab.supervisor.spawner import SpawnError
from kubelab.supervisor.zygote import SpawnRequest
from tests.support.clock import FakeClock


class FakeSpawner:
    """Starts nothing. ``before_it_fails`` happens while the zygote dies with a request in its hands."""

    def __init__(self, before_it_fails: Any = None) -> None:
        self.requests: list[SpawnRequest] = []
        self.adopted: list[Running] = []
        self._before_it_fails = before_it_fails

    async def start(self, request: SpawnRequest, log: int, namespace: int | None) -> Running:
        self.requests.append(request)
        if self._before_it_fails:
            self._before_it_fails()
        raise SpawnError("the zygote died")

    def adopt(self, running: Running) -> None:
        self.adopted.append(running)

    async def ended(self, running: Running) -> int | None:
        await asyncio.Event().wait()
        return None


@pytest.fixture
def child() -> Generator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def keeper(folder: Path, spawner: FakeSpawner, name: str = "scheduler@cp-1") -> ProcessKeeper:
    request = SpawnRequest(name=name, argv=(), records=str(folder))
    target = health.HealthTarget(f"unix:{folder}/none.sock")
    spec = ProcessSpec(name, "scheduler", "cp-1", request, folder / "x.log", None, target)
    clock = FakeClock(auto=True)
    log = logs.configure("supervisor", level="error", form="text", clock=clock)
    return ProcessKeeper(spec, cast(Any, spawner), clock, log, lambda: None)


@asynccontextmanager
async def kept(it: ProcessKeeper, *before: ProcessKeeper) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.run(before))
        yield
        task.cancel()


async def until(it: ProcessKeeper, state: KeeperState) -> None:
    assert await it._until(lambda: it.state is state, 60.0), it.machine.history


async def test_before_those_it_stands_on_are_well_it_waits(tmp_path: Path) -> None:
    other = keeper(tmp_path, FakeSpawner(), "api-server@cp-1")
    it = keeper(tmp_path, spawner := FakeSpawner())
    async with kept(it, other):
        await until(it, KeeperState.WAITING)
        with pytest.raises(BadRequest, match="it is just being started"):
            await it.kill()
        assert spawner.requests == []
        other.ready.set()
        await until(it, KeeperState.BACK_OFF)
        assert spawner.requests


async def test_what_waits_can_be_stopped_and_started(tmp_path: Path) -> None:
    other = keeper(tmp_path, FakeSpawner(), "api-server@cp-1")
    it = keeper(tmp_path, spawner := FakeSpawner())
    async with kept(it, other):
        await until(it, KeeperState.WAITING)
        await it.stop()
        assert it.state is KeeperState.STOPPED
        other.ready.set()
        starting = asyncio.ensure_future(it.start())
        await until(it, KeeperState.BACK_OFF)
        assert spawner.requests, "and without those it stands on: it was asked for"
        starting.cancel()


async def test_what_a_dying_zygote_has_started_is_adopted_and_not_started_twice(tmp_path: Path, child: int) -> None:
    def leave_a_child() -> None:
        record = processes.write_own(tmp_path, "scheduler@cp-1", since=1)
        ticks = start_time(child)
        text = (tmp_path / "scheduler@cp-1").read_text()
        text = text.replace(f'"pid": {os.getpid()}', f'"pid": {child}')
        (tmp_path / "scheduler@cp-1").write_text(text.replace(f'"ticks": {record.ticks}', f'"ticks": {ticks}'))

    it = keeper(tmp_path, spawner := FakeSpawner(leave_a_child))
    async with kept(it):
        await until(it, KeeperState.STARTING)
        await it._until(lambda: it.running is not None, 60.0)
        assert [running.pid for running in spawner.adopted] == [child]
        assert len(spawner.requests) == 1


def test_the_record_of_the_next_one_is_not_forgotten_with_the_last(tmp_path: Path) -> None:
    old = processes.write_own(tmp_path, "scheduler@cp-1", since=1)
    new = processes.write_own(tmp_path, "scheduler@cp-1", since=2)
    processes.forget(tmp_path, old)
    assert processes.read(tmp_path, "scheduler@cp-1") == new
    processes.forget(tmp_path, new)
    assert processes.read(tmp_path, "scheduler@cp-1") is None


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", ""),
        ("starting\n\netcd: the data of cp-1 are gone\n\n", "etcd: the data of cp-1 are gone"),
        (
            '{"level":"warn","msg":"slow"}\n'
            '{"level":"fatal","msg":"failed to save","error":"write /lab/0.wal: no space left on device"}\n'
            "goroutine 1 [running]:\nmain.main()\n",
            "failed to save: write /lab/0.wal: no space left on device",
        ),
        ('{"level":"panic","msg":"no snapshot"}\n', "no snapshot"),
        ('{"level":"warn","msg":"slow"}\n', '{"level":"warn","msg":"slow"}'),
        ("panic: x\ngoroutine 1 [running]:\nmain.main()\n", "main.main()"),
        ("a" * 200_000, "a" * 512),
    ],
)
def test_what_a_process_said_last(tmp_path: Path, log: str, told: str) -> None:
    (tmp_path / "log").write_text(log)
    assert last_line(tmp_path / "log") == told
    assert last_line(tmp_path / "none") == ""
