"""What a supervisor does to break its cluster, and to mend it: groups, partitions, frozen and stopped processes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.apimachinery import errors
from kubelab.cluster import launch
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.supervisor import processes
from kubelab.topology.components import GROUPS
from kubelab.topology.partitions import Partition
from kubelab.topology.record import Record

from .conftest import core_is_well, named, until, until_true
from .test_supervisor import again

pytestmark = pytest.mark.root

CUT = Partition("scheduler@cp-1", "api-server@cp-1")
API, SCHEDULER = "api-server@cp-1", "scheduler@cp-1"


@pytest.fixture
async def prefork(record: Record) -> AsyncGenerator[LocalCluster]:
    """A cluster whose api-server is two processes behind one port."""
    dataclasses.replace(record, settings={"api-server": {"workers": 2}}).save()
    async with aclosing(launch.launch(record)) as steps:
        assert [step async for step in steps]
    async with LocalCluster(record.name, record.socket) as running:
        await until(running, core_is_well)
        yield running


def status_line(pid: int, name: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).split()[1:]


async def family_of(leader: int, members: int) -> list[int]:
    """A component's processes, once there are just so many: a program that it calls, such as nft, is none of them."""
    family: list[int] = []

    def complete() -> bool:
        family[:] = processes.group(leader)
        return len(family) == members

    await until_true(complete)
    return family


async def rules(cluster: LocalCluster, node: str) -> str:
    """The faults' table of a node; nothing when there is none."""
    output = await cluster.run(node, ["nft", "list", "ruleset", "inet"])
    assert output.code == 0, output.stderr
    return output.stdout.decode().partition("table inet kubelab-faults")[2]


async def test_every_component_has_a_group_of_its_own_and_nothing_else_is_other(prefork: LocalCluster) -> None:
    status = await until(prefork, lambda s: all(p.pid for p in s.processes))
    zygote = named(status, "zygote").pid
    for process in (p for p in status.processes if p.node):
        family = await family_of(process.pid, 3 if process.component == "api-server" else 1)
        for pid in family:
            assert {int(gid) for gid in status_line(pid, "Gid")} == {GROUPS.get(process.component, 0)}
            for unchanged in ("Uid", "Groups", "CapEff"):
                assert status_line(pid, unchanged) == status_line(zygote, unchanged)
    assert all(p.memory_bytes for p in (await prefork.status()).processes if p.pid), "their memory can be looked at"


async def test_a_partition_outlives_the_supervisor_and_is_healed_by_the_next(
    cluster: LocalCluster, record: Record
) -> None:
    await cluster.partition(CUT)
    await cluster.partition(Partition(CUT.target, CUT.source))  # the same, said the other way round
    assert await cluster.partitions() == [CUT]
    assert "scheduler@cp-1 to api-server@cp-1" in await rules(cluster, "cp-1")
    assert await rules(cluster, "node-1") == ""
    os.kill(named(await cluster.status(), "supervisor").pid, signal.SIGKILL)
    async with await again(cluster, record) as next_one:
        assert await next_one.partitions() == [CUT]
        assert "scheduler@cp-1 to api-server@cp-1" in await rules(next_one, "cp-1")
        await next_one.partition(Partition("cp-1", "node-1", one_way=True))
        await next_one.heal(CUT)
        assert await next_one.partitions() == [Partition("cp-1", "node-1", one_way=True)]
        assert await rules(next_one, "cp-1") == ""
        assert "cp-1 to node-1" in await rules(next_one, "node-1")
        await next_one.heal()
        await next_one.heal(CUT)  # it is gone already
        assert await next_one.partitions() == []
        assert await rules(next_one, "node-1") == ""
        assert not (record.run / "partitions.json").exists()


async def test_rules_that_somebody_took_away_are_back_with_the_next_supervisor(
    cluster: LocalCluster, record: Record
) -> None:
    await cluster.partition(CUT)
    for table in ("kubelab-faults", "kubelab-owners"):
        assert (await cluster.run("cp-1", ["nft", "delete", "table", "inet", table])).code == 0
    os.kill(named(await cluster.status(), "supervisor").pid, signal.SIGKILL)
    async with await again(cluster, record) as next_one:
        assert "scheduler@cp-1 to api-server@cp-1" in await rules(next_one, "cp-1")
        assert (await next_one.run("cp-1", ["nft", "list", "table", "inet", "kubelab-owners"])).code == 0


async def test_to_heal_everything_clears_every_node(cluster: LocalCluster) -> None:
    """Also of rules that nobody knows of."""
    for node in ("cp-1", "node-1"):
        assert (await cluster.run(node, ["nft", "add", "table", "inet", "kubelab-faults"])).code == 0
    await cluster.heal()
    assert [await rules(cluster, node) for node in ("cp-1", "node-1")] == ["", ""]


@pytest.mark.parametrize(
    ("source", "target", "kind", "says"),
    [
        ("node-9", "cp-1", errors.NotFound, 'node "node-9" not found'),
        ("cp-1", "scheduler@node-1", errors.NotFound, 'process "scheduler@node-1" not found'),
        ("kubelet@cp-1", "runtime@cp-1", errors.BadRequest, "kubelab fault pause runtime@cp-1"),
    ],
)
async def test_what_cannot_be_cut_is_refused_and_leaves_nothing(
    cluster: LocalCluster, source: str, target: str, kind: type[errors.ApiError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        await cluster.partition(Partition(source, target))
    assert await cluster.partitions() == []


async def test_a_command_in_a_node(cluster: LocalCluster) -> None:
    told = await cluster.run("node-1", ["ip", "-br", "address", "show", "eth0"])
    assert (told.code, "192.168.49.3/24" in told.stdout.decode()) == (0, True)
    echoed = await cluster.run("node-1", ["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=b"hello")
    assert (echoed.code, echoed.stdout, echoed.stderr) == (3, b"hello", b"oops\n")
    with pytest.raises(errors.NotFound, match="node-9"):
        await cluster.run("node-9", ["true"])
    with pytest.raises(errors.Timeout):
        await cluster.run("node-1", ["sleep", "60"], timeout=0.1)


async def test_all_workers_freeze_and_stay_so_under_another_supervisor(prefork: LocalCluster, record: Record) -> None:
    paused = await prefork.act(API, Action.PAUSE)
    family = processes.group(paused.pid)
    assert len(family) == 3
    assert all(map(processes.is_frozen, family))
    os.kill(named(await prefork.status(), "supervisor").pid, signal.SIGKILL)
    async with await again(prefork, record) as next_one:
        status = await until(next_one, lambda s: named(s, API).state is ProcessState.PAUSED)
        assert named(status, API).pid == paused.pid
        with pytest.raises(errors.BadRequest, match=f"kubelab fault resume {API}"):
            await next_one.act(API, Action.START)
        await next_one.act(API, Action.RESUME)
        assert not any(map(processes.is_frozen, family))
        await until(next_one, lambda s: named(s, API).state is ProcessState.RUNNING)
        await next_one.act(API, Action.PAUSE)
        await next_one.act(API, Action.KILL)
        status = await until(next_one, lambda s: named(s, API).state is ProcessState.RUNNING)
        assert named(status, API).pid != paused.pid
        assert not any(Path(f"/proc/{pid}").exists() for pid in family)


async def test_a_frozen_process_stops_at_once_and_is_then_down(cluster: LocalCluster) -> None:
    for name in ("runtime@node-1", SCHEDULER, API, "etcd@cp-1"):
        await cluster.act(name, Action.PAUSE)
        stopped = await cluster.act(name, Action.STOP)
        assert (stopped.state, stopped.pid) == (ProcessState.STOPPED, 0)
        assert "SIGKILL" not in stopped.message, "it woke up and ended by itself"
        for action in (Action.KILL, Action.PAUSE, Action.RESUME):
            with pytest.raises(errors.BadRequest, match=f"{name} is Stopped; start it: kubelab fault start {name}"):
                await cluster.act(name, action)
        assert (await cluster.act(name, Action.STOP)).state is ProcessState.STOPPED, "again is no error"
        assert (await cluster.act(name, Action.RESTART)).state is ProcessState.RUNNING


async def test_a_broken_cluster_goes_down_all_the_same(cluster: LocalCluster, record: Record) -> None:
    await cluster.partition(Partition("etcd@cp-1", API))
    await cluster.partition(Partition("cp-1", "node-1"))
    await cluster.act(SCHEDULER, Action.PAUSE)
    await cluster.act("kubelet@node-1", Action.STOP)
    await cluster.shutdown()
    assert processes.read_all(record.processes).keys() <= {"supervisor"}
