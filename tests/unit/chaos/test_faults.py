"""Every fault is in the undo log first, and is undone in the end, the last one first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from kubelab.apimachinery.errors import Conflict, NotFound, Unavailable
from kubelab.chaos import undolog
from kubelab.chaos.faults import Faults, NotUndone, undo_all
from kubelab.chaos.recording import Recording, RecordingWriter
from kubelab.chaos.undolog import UndoEntry, UndoLog
from kubelab.client.client import Client
from kubelab.cluster.driver import (
    Action,
    ClusterDriver,
    ClusterNode,
    ClusterStatus,
    ClusterTunnel,
    Process,
    ProcessState,
)
from kubelab.topology.partitions import Partition

STATES = {
    Action.STOP: ProcessState.STOPPED,
    Action.PAUSE: ProcessState.PAUSED,
    Action.START: ProcessState.RUNNING,
    Action.RESUME: ProcessState.RUNNING,
}
NAMES = ("etcd@cp-1", "api-server@cp-1", "kubelet@cp-1", "runtime@cp-1", "kubelet@node-1", "runtime@node-1")


@dataclass
class FakeDriver:
    """Does what it is told, and remembers it. ``deaf`` processes do not answer."""

    processes: dict[str, Process] = field(
        default_factory=lambda: {
            name: Process(name, name.partition("@")[0], name.partition("@")[2], 1, 0.0, 0, ProcessState.RUNNING)
            for name in NAMES
        }
    )
    done: list[str] = field(default_factory=list[str])
    cut: list[Partition] = field(default_factory=list[Partition])
    deaf: set[str] = field(default_factory=set[str])
    open: list[ClusterTunnel] = field(default_factory=list[ClusterTunnel])

    async def status(self) -> ClusterStatus:
        nodes = tuple(ClusterNode(n, "", Path(), Path()) for n in ("cp-1", "node-1", "node-2"))
        return ClusterStatus("test", tuple(self.processes.values()), nodes)

    async def act(self, process: str, action: Action) -> Process:
        if process in self.deaf:
            raise Unavailable(f"{process} does not answer")
        if process not in self.processes:
            raise NotFound(process)
        self.done.append(f"{action.value} {process}")
        if action in STATES:
            self.processes[process] = replace(self.processes[process], state=STATES[action])
        return self.processes[process]

    async def partition(self, *partitions: Partition) -> None:
        self.cut += partitions

    async def tunnels(self) -> list[ClusterTunnel]:
        return list(self.open)

    async def close_tunnel(self, local_port: int) -> None:
        self.open = [tunnel for tunnel in self.open if tunnel.local_port != local_port]

    async def heal(self, *partitions: Partition) -> None:
        self.cut = [p for p in self.cut if partitions and p not in partitions]


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def writer() -> RecordingWriter:
    now = iter(range(1000))
    return RecordingWriter(Recording(), lambda: float(next(now)))


@pytest.fixture
def undo_log(tmp_path: Path) -> UndoLog:
    return UndoLog(tmp_path / "experiment.json")


@pytest.fixture
def faults(driver: FakeDriver, undo_log: UndoLog, writer: RecordingWriter) -> Faults:
    return Faults(cast(ClusterDriver, driver), undo_log, writer)


async def test_what_is_stopped_is_in_the_undo_log_until_it_is_started(
    driver: FakeDriver, faults: Faults, undo_log: UndoLog
) -> None:
    assert await faults.act(Action.STOP, "etcd") == ["etcd@cp-1"]
    assert undolog.read(undo_log.path)[0].entries == [UndoEntry(undolog.START, "etcd@cp-1")]
    await faults.act(Action.START, "etcd")
    assert (undo_log.entries, driver.done) == ([], ["stop etcd@cp-1", "start etcd@cp-1"])


async def test_an_entry_is_written_before_the_fault(driver: FakeDriver, faults: Faults, undo_log: UndoLog) -> None:
    driver.deaf = {"etcd@cp-1"}
    with pytest.raises(Unavailable):
        await faults.act(Action.PAUSE, "etcd@cp-1")
    assert undolog.read(undo_log.path)[0].entries == [UndoEntry(undolog.RESUME, "etcd@cp-1")]


async def test_a_kill_is_a_moment_and_owes_nothing(faults: Faults, undo_log: UndoLog, writer: RecordingWriter) -> None:
    await faults.act(Action.KILL, "etcd@cp-1")
    assert undo_log.entries == []
    (fault,) = writer.recording.faults
    assert (fault.what, fault.begin) == ("kill", fault.end)


async def test_a_whole_node_goes_from_the_top_and_comes_from_the_bottom(driver: FakeDriver, faults: Faults) -> None:
    await faults.act(Action.STOP, "cp-1")
    await faults.act(Action.START, "cp-1")
    down = ["kubelet@cp-1", "api-server@cp-1", "etcd@cp-1", "runtime@cp-1"]
    assert driver.done == [f"stop {name}" for name in down] + [f"start {name}" for name in reversed(down)]


async def test_undo_goes_backwards_and_heals(
    driver: FakeDriver, faults: Faults, undo_log: UndoLog, writer: RecordingWriter
) -> None:
    await faults.act(Action.STOP, "etcd@cp-1")
    await faults.act(Action.PAUSE, "kubelet@node-1")
    await faults.partition("node-1", "*")
    assert driver.cut == [Partition("node-1", "cp-1"), Partition("node-1", "node-2")]
    assert await faults.undo() == [
        "heal node-1 ↔ node-2",
        "heal node-1 ↔ cp-1",
        "resume kubelet@node-1",
        "start etcd@cp-1",
    ]
    assert (driver.cut, undo_log.entries) == ([], [])
    assert all(fault.end is not None for fault in writer.recording.faults)
    assert await faults.undo() == []


async def test_undo_goes_on_after_a_failure_and_keeps_what_is_left(
    driver: FakeDriver, faults: Faults, undo_log: UndoLog
) -> None:
    await faults.act(Action.STOP, "etcd@cp-1")
    await faults.act(Action.STOP, "kubelet@node-1")
    driver.deaf = {"kubelet@node-1"}
    with pytest.raises(
        NotUndone, match=r"start kubelet@node-1: kubelet@node-1 does not answer\ntry: kubelab fault heal"
    ):
        await faults.undo()
    assert driver.processes["etcd@cp-1"].state is ProcessState.RUNNING
    assert undo_log.entries == [UndoEntry(undolog.START, "kubelet@node-1")]


async def test_a_process_that_is_gone_needs_no_undo(driver: FakeDriver, faults: Faults, undo_log: UndoLog) -> None:
    await faults.act(Action.STOP, "kubelet@node-1")
    del driver.processes["kubelet@node-1"]
    await faults.undo()
    assert undo_log.entries == []


async def test_what_others_have_stopped_is_not_ours_to_start(
    driver: FakeDriver, faults: Faults, undo_log: UndoLog
) -> None:
    await driver.act("etcd@cp-1", Action.STOP)
    with pytest.raises(Conflict, match="etcd@cp-1 is Stopped already: nothing to stop"):
        await faults.act(Action.STOP, "etcd@cp-1")
    assert undo_log.entries == []


async def test_heal_takes_away_our_partitions_only(driver: FakeDriver, faults: Faults) -> None:
    theirs = Partition("cp-1", "node-2")
    await driver.partition(theirs)
    await faults.partition("node-1", "cp-1", one_way=True)
    await faults.heal()
    assert driver.cut == [theirs]


async def test_a_tunnel_that_a_killed_experiment_has_left_is_closed(driver: FakeDriver, undo_log: UndoLog) -> None:
    theirs = ClusterTunnel(40001, "cp-1", "192.168.49.2:30002")
    driver.open = [ClusterTunnel(40000, "node-1", "192.168.49.2:30001"), theirs]
    undo_log.add(UndoEntry(undolog.TUNNEL, "192.168.49.2:30001"))
    assert await Faults(cast(ClusterDriver, driver), undo_log).undo() == [], "requests go on while the experiment does"
    done = await undo_all(cast(ClusterDriver, driver), cast(Client, None), undo_log)
    assert (done, driver.open, undo_log.entries) == (["close tunnel to 192.168.49.2:30001"], [theirs], [])
