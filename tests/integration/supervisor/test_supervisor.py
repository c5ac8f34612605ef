"""A real cluster whose processes are killed one by one, the supervisor and the zygote among them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.linux.processes import start_time
from kubelab.supervisor import cleanup, network, processes
from kubelab.topology.record import Record
from tests.support.traces import Namespaces

from .conftest import WAIT_SECONDS, core_is_well, named, until, until_true

pytestmark = pytest.mark.root


async def again(cluster: LocalCluster, record: Record) -> LocalCluster:
    """Connect to the supervisor that follows the one that was killed."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            fresh = LocalCluster(record.name, record.socket)
            try:
                await fresh.status()
            except errors.Unavailable:
                await fresh.close()
            else:
                return fresh


async def test_a_killed_component_comes_back_and_is_counted(cluster: LocalCluster) -> None:
    before = named(await cluster.status(), "scheduler@cp-1")
    await cluster.act("scheduler@cp-1", Action.KILL)
    status = await until(cluster, lambda s: named(s, "scheduler@cp-1").restarts > before.restarts and core_is_well(s))
    after = named(status, "scheduler@cp-1")
    assert after.pid != before.pid
    assert after.message == "killed by SIGKILL"
    assert start_time(before.pid) is None


async def test_stop_keeps_it_down_until_start(cluster: LocalCluster) -> None:
    stopped = await cluster.act("scheduler@cp-1", Action.STOP)
    assert (stopped.state, stopped.pid) == (ProcessState.STOPPED, 0)
    started = await cluster.act("scheduler@cp-1", Action.START)
    assert started.state is ProcessState.RUNNING
    assert started.restarts == 0  # it was asked for


async def test_pause_and_resume(cluster: LocalCluster) -> None:
    paused = await cluster.act("scheduler@cp-1", Action.PAUSE)
    assert paused.state is ProcessState.PAUSED
    assert processes.is_frozen(paused.pid)
    await cluster.act("scheduler@cp-1", Action.RESUME)
    status = await until(cluster, lambda s: named(s, "scheduler@cp-1").state is ProcessState.RUNNING)
    assert named(status, "scheduler@cp-1").pid == paused.pid


async def test_a_process_of_no_such_name(cluster: LocalCluster) -> None:
    with pytest.raises(errors.NotFound, match='process "nobody@cp-1" not found'):
        await cluster.act("nobody@cp-1", Action.KILL)


async def test_a_killed_supervisor_is_followed_by_one_that_adopts(cluster: LocalCluster, record: Record) -> None:
    before = await cluster.status()
    tunnel = await cluster.open_tunnel("node-1", "192.168.49.2:6443")
    os.kill(named(before, "supervisor").pid, signal.SIGKILL)
    async with await again(cluster, record) as next_one:
        after = await until(next_one, core_is_well)
        assert named(after, "supervisor").restarts == 1
        for name in ("etcd@cp-1", "api-server@cp-1", "scheduler@cp-1"):
            assert (named(after, name).pid, named(after, name).restarts) == (named(before, name).pid, 0)
        assert tunnel in await next_one.tunnels()
        # It can still be told how an adopted process ends.
        await next_one.act("scheduler@cp-1", Action.KILL)
        told = await until(next_one, lambda s: named(s, "scheduler@cp-1").restarts == 1 and core_is_well(s))
        assert named(told, "scheduler@cp-1").message == "killed by SIGKILL"


async def test_a_killed_zygote_is_replaced_and_components_live_on(cluster: LocalCluster) -> None:
    before = await cluster.status()
    below = processes.descendants(named(before, "zygote").pid)
    [standby] = [pid for pid in below if "(standby)" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(named(before, "zygote").pid, signal.SIGKILL)
    await cluster.act("scheduler@cp-1", Action.KILL)
    after = await until(cluster, lambda s: named(s, "scheduler@cp-1").restarts >= 1 and core_is_well(s))
    assert named(after, "scheduler@cp-1").message == "killed by SIGKILL"
    assert named(after, "etcd@cp-1").pid == named(before, "etcd@cp-1").pid
    assert named(after, "zygote").pid == standby, "it was ready, with everything imported"


async def test_a_cleanup_is_not_overtaken_by_who_is_just_being_born(cluster: LocalCluster, record: Record) -> None:
    os.kill(named(await cluster.status(), "zygote").pid, signal.SIGKILL)  # the supervisor starts another one at once
    await asyncio.to_thread(cleanup.everything, record, SystemClock(), delete=True)
    assert not record.run.exists()
    await until_true(lambda: not started_for(record))
    assert not record.run.exists()
    assert not record.folder.exists()


def started_for(record: Record) -> list[str]:
    """The command lines of whatever runs for a cluster outside its namespaces."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append((entry / "cmdline").read_text().replace("\0", " "))
    return [line for line in found if record.name in line]


async def test_what_was_stopped_stays_so_after_the_supervisors_death(cluster: LocalCluster, record: Record) -> None:
    await cluster.act("scheduler@cp-1", Action.STOP)
    os.kill(named(await cluster.status(), "supervisor").pid, signal.SIGKILL)
    async with await again(cluster, record) as next_one:
        status = await until(next_one, lambda s: named(s, "etcd@cp-1").state is ProcessState.RUNNING)
        assert named(status, "scheduler@cp-1").state is ProcessState.STOPPED


async def test_logs_with_their_end_first_and_followed(cluster: LocalCluster) -> None:
    async with aclosing(cluster.logs("scheduler@cp-1", tail=1, follow=True)) as pieces, asyncio.timeout(WAIT_SECONDS):
        first = await anext(pieces)
        assert first.count(b"\n") == 1
        await cluster.act("scheduler@cp-1", Action.RESTART)
        assert await anext(pieces)


async def test_only_the_owner_may_talk_to_the_supervisor(cluster: LocalCluster, record: Record) -> None:
    assert record.socket.stat().st_mode & 0o777 == 0o600


async def test_shutdown_ends_what_nobody_has_a_record_of(cluster: LocalCluster, record: Record) -> None:
    """Such as what a zygote had begun when it was killed."""
    node = record.namespace("node-1")
    stray = subprocess.Popen(["nsenter", f"--net={node}", "--", "sleep", "600"])
    namespaces = Namespaces(record)
    await until_true(lambda: stray.pid in namespaces.processes())
    await cluster.shutdown()
    assert stray.wait(WAIT_SECONDS) == -signal.SIGKILL
    await until_true(lambda: not namespaces.processes())  # the supervisor itself is the last
    namespaces.release()


async def test_shutdown_leaves_only_the_data(cluster: LocalCluster, record: Record) -> None:
    status = await cluster.status()
    await cluster.shutdown()
    for process in status.processes:
        if process.component != "supervisor" and process.pid:
            assert start_time(process.pid) is None, process.name
    assert network.inodes(record) == set()
    assert (record.folder / "etcd" / "cp-1" / "member").is_dir()
