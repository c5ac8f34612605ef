"""The supervisor: it keeps every process of a cluster running, and serves gRPC on a unix socket.

It lives in the cluster's network namespace (so that it reaches every node) and opens ports in the host's for the
tunnels' process. It holds no state that its successor cannot restore: the successor of a killed supervisor adopts every
process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from typing import Protocol

import grpc
import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.cluster import launch
from kubelab.component.serving import Health, serve_grpc
from kubelab.linux import syscalls
from kubelab.pki import certificates, renewal
from kubelab.supervisor import cleanup, logfiles, lostrecord, network, nft, plan, processes
from kubelab.supervisor.etcdleader import EtcdLeader
from kubelab.supervisor.faults import Partitions
from kubelab.supervisor.keeper import ProcessKeeper
from kubelab.supervisor.keeperstates import KeeperState
from kubelab.supervisor.logfiles import Follower
from kubelab.supervisor.network import NamespaceThread
from kubelab.supervisor.processes import Running
from kubelab.supervisor.spawner import Spawner
from kubelab.supervisor.tunnelling import Tunnelling
from kubelab.topology import listeners
from kubelab.topology.record import Record

ZYGOTE_SECONDS = 5.0  # for the zygote to end after ``quit``
STOP_ORDER = (
    ("scheduler", "controller-manager", "kubelet", "kube-proxy"),
    ("runtime", "api-server"),
    (plan.TUNNELS,),
)
CARRYING = ("kubelet", "kube-proxy", "runtime")  # a node without one of them may lead to what is gone
UNHEALTHY = (KeeperState.UNHEALTHY, KeeperState.BACK_OFF, KeeperState.STOPPED, KeeperState.PAUSED)


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """The usage of a process: PSS in bytes and processor time in seconds, with its workers."""

    memory_bytes: int
    cpu_seconds: float


class Supervisor:
    """``record`` says which cluster; ``spawner`` starts its processes."""

    def __init__(
        self,
        record: Record,
        spawner: Spawner,
        host: NamespaceThread,
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
        own_process: Running,
    ) -> None:
        self.record, self.clock, self.own_process = record, clock, own_process
        self._spawner, self._host, self._log = spawner, host, log
        self._version = 0
        self._asked_down = asyncio.Event()
        self._down = asyncio.Event()
        self.delete = False
        self._record_lost = False
        self.tunnels = Tunnelling(record, host, clock, log)
        watches = {plan.TUNNELS: self.tunnels.watch}
        self.keepers: dict[str, ProcessKeeper] = {
            spec.name: ProcessKeeper(spec, spawner, clock, log, self.touch, watches.get(spec.name))
            for spec in plan.plan(record).specs
        }
        members = {name: k.spec.target for name, k in self.keepers.items() if k.spec.component == "etcd"}
        self.etcd_leader = EtcdLeader(members, clock, self.touch)
        self.partitions: Partitions
        self.follower: Follower
        self._version_event = asyncio.Event()

    async def run(self, add_service: Callable[[grpc.aio.Server], None], ready: Callable[[], None]) -> None:
        """Look after the cluster until :meth:`ask_down`, then take it down. ``ready``: the socket answers."""
        self.follower = Follower()
        self._spawner.open()
        nodes = await asyncio.to_thread(self._enter_nodes)
        file = self.record.run / "partitions.json"
        in_nodes = [name for name, keeper in self.keepers.items() if keeper.spec.node]
        self.partitions = Partitions(self.record.nodes, nodes, in_nodes, file, self._log)
        try:
            await asyncio.gather(self.partitions.begin(), self._bound_listeners(nodes))
            await self.tunnels.begin()
            async with self._serve(add_service), asyncio.TaskGroup() as group:
                ready()
                avoiding = group.create_task(self._avoid_the_ill(), name="what tunnels avoid")
                looking = group.create_task(self.etcd_leader.run(), name="etcd's leader")
                keeping = group.create_task(self._keep_all(), name="keepers")
                logs = [self.record.log(name) for name in (processes.SUPERVISOR, *self.keepers)]
                renew = partial(certificates.renew, self.record.pki, self.record.nodes)
                renewing = group.create_task(renewal.keep(renew, self.clock, self._log), name="certificates")
                turning = group.create_task(logfiles.keep_small(logs, self.clock, self._log), name="logs")
                missing = group.create_task(self._end_without_record(), name="the cluster's record")
                await self._asked_down.wait()
                await self._take_down()
                self._down.set()
                for task in (looking, keeping, renewing, turning, avoiding, missing):
                    task.cancel()
        finally:
            self.tunnels.close()
            self.follower.close()
            for thread in nodes.values():
                thread.close()

    def ask_down(self, *, delete: bool = False) -> None:
        """Request the end of the cluster, independent of the caller. With ``delete`` its data is removed, too."""
        self.delete = self.delete or delete
        self._asked_down.set()

    @property
    def going_down(self) -> bool:
        """Was it asked to go down?"""
        return self._asked_down.is_set()

    async def _end_without_record(self) -> None:
        """Take the cluster down once its record is gone, with what is left of its folder, unless etcd's data are."""
        try:
            await lostrecord.removed(self.record.file)
        except OSError as err:
            self._log.warning("it would not be noticed if the cluster's folder was removed", error=str(err))
            return
        self._record_lost = True
        self._log.warning("the cluster's record is gone, ending the cluster", path=str(self.record.file))
        self.ask_down(delete=not (self.record.folder / "etcd").exists())

    async def down(self) -> None:
        """Wait until processes, pods and network are gone."""
        await self._down.wait()

    async def _take_down(self) -> None:
        """Stop every process, the api-server after all that need it, then etcd; then pods and network go."""
        keepers = self.keepers.values()
        with contextlib.suppress(errors.InternalError):  # the rules go with the network at the latest
            await self.partitions.heal(None)  # what says goodbye must be heard
        for components in STOP_ORDER:
            await asyncio.gather(*(keeper.end() for keeper in keepers if keeper.spec.component in components))
        members = {name: keeper for name, keeper in self.keepers.items() if keeper.spec.component == "etcd"}
        await end_members(members, await self.etcd_leader.look())
        zygote = self.zygote()
        with cleanup.holding(self._below(zygote) if self._record_lost else ()) as left:
            self._spawner.close()
            if zygote:
                await launch.wait_ended(zygote.pid, ZYGOTE_SECONDS)
            await asyncio.to_thread(cleanup.pods, self.record)
            await asyncio.to_thread(cleanup.kill, left, self.clock)
        if self._record_lost:
            await asyncio.to_thread(cleanup.groups, self.record)
        await asyncio.to_thread(cleanup.strays, self.record, self.clock)
        await asyncio.to_thread(network.remove, self.record)

    def _below(self, zygote: Running | None) -> list[int]:
        """Find every process that came from here, pods' too: what the disk said of those may be gone."""
        roots = [self.own_process.pid, *([zygote.pid] if zygote else [])]
        return [pid for root in roots for pid in processes.descendants(root) if pid != self.own_process.pid]

    def keeper(self, name: str) -> ProcessKeeper:
        """Find a process; NotFound."""
        keeper = self.keepers.get(name)
        if keeper is None:
            raise errors.NotFound(f'process "{name}" not found')
        return keeper

    async def changes(self) -> AsyncGenerator[None]:
        """Yield once now, and at every change."""
        version = -1
        while True:
            while version == self._version:
                await self._version_event.wait()
            version = self._version
            yield

    async def usage(self) -> dict[str, ProcessUsage]:
        """Measure every process."""
        pids = {name: keeper.running.pid for name, keeper in self.keepers.items() if keeper.running}
        pids[processes.SUPERVISOR] = self.own_process.pid
        zygote = self.zygote()
        if zygote:
            pids[processes.ZYGOTE] = zygote.pid
        return await asyncio.to_thread(_measure, pids)

    def zygote(self) -> Running | None:
        """The zygote, while one is there."""
        return processes.read(self.record.processes, processes.ZYGOTE)

    def touch(self) -> None:
        """Wake every watcher of the status."""
        self._version += 1
        self._version_event.set()
        self._version_event = asyncio.Event()

    def _enter_nodes(self) -> dict[str, NamespaceThread]:
        threads: dict[str, NamespaceThread] = {}
        for node in self.record.nodes:
            fd = os.open(self.record.namespace(node.name), os.O_RDONLY | os.O_CLOEXEC)
            threads[node.name] = NamespaceThread(fd, node.name)
            threads[node.name].submit(int).result()  # it has entered
            os.close(fd)
        return threads

    async def _bound_listeners(self, nodes: dict[str, NamespaceThread]) -> None:
        """Bound the connections to the nodes' own ports, by source."""
        rules = listeners.limits(IPv4Network((network.BRIDGE_ADDRESS, network.PREFIX), strict=False))
        try:
            await asyncio.gather(
                *(asyncio.wrap_future(thread.submit(lambda: nft.apply(rules))) for thread in nodes.values())
            )
        except errors.ApiError as err:  # a kernel that cannot count: a cluster works without
            self._log.warning("connections to the nodes' own ports are not bounded by source", error=err.message)

    async def _avoid_the_ill(self) -> None:
        """Send the tunnels the unhealthy api-servers and nodes, which they try last."""
        async for _ in self.changes():
            cut = {side for partition in self.partitions.list() for side in (partition.source, partition.target)}
            unhealthy = [
                keeper.spec for keeper in self.keepers.values() if keeper.state in UNHEALTHY or keeper.spec.name in cut
            ]
            planes = {spec.target.address for spec in unhealthy if spec.component == "api-server"}
            nodes = {spec.node for spec in unhealthy if spec.component in CARRYING}
            await self.tunnels.avoid({*planes, *nodes, *(cut & set(self.record.node_names))})

    async def _keep_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for keeper in self.keepers.values():
                before = [self.keepers[name] for name in keeper.spec.after]
                group.create_task(keeper.run(before), name=f"keeper of {keeper.spec.name}")

    @contextlib.asynccontextmanager
    async def _serve(self, add_service: Callable[[grpc.aio.Server], None]) -> AsyncGenerator[None]:
        self.record.socket.unlink(missing_ok=True)
        async with serve_grpc(f"unix:{self.record.socket}", [add_service], tls=None, health=Health()):
            self.record.socket.chmod(0o600)  # no race: its folder is open to the owner alone
            yield
        self.record.socket.unlink(missing_ok=True)


class Ending(Protocol):
    """A process that can be ended."""

    async def end(self) -> None: ...


async def end_members(members: Mapping[str, Ending], leader: str) -> None:
    """End etcd's members, the one that leads last: it would wait seven seconds to hand its role to a member that ends
    at the same time. Without a known leader, end all of them at once."""
    await asyncio.gather(*(member.end() for name, member in members.items() if name != leader))
    if leader in members:
        await members[leader].end()


def enter_cluster(record: Record) -> NamespaceThread:
    """Move this process, which has one thread yet, into the cluster's namespace; gives a thread that stays outside."""
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    host = NamespaceThread(outside, "host")
    host.submit(int).result()
    os.close(outside)
    inside = os.open(record.namespace(network.CLUSTER), os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(inside)
    os.close(inside)
    return host


def _measure(pids: dict[str, int]) -> dict[str, ProcessUsage]:
    usages: dict[str, ProcessUsage] = {}
    for name, pid in pids.items():
        # A component's workers are its own; what the zygote and the supervisor have forked has names of its own.
        workers = processes.descendants(pid) if name not in (processes.SUPERVISOR, processes.ZYGOTE) else []
        family = [pid, *(worker for worker in workers if _is_worker(worker))]
        usages[name] = ProcessUsage(sum(map(processes.pss_bytes, family)), sum(map(processes.cpu_seconds, family)))
    return usages


def _is_worker(pid: int) -> bool:
    """Say whether this is a fork of a component, not a program that it runs (a container, say)."""
    try:
        return os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe")  # noqa: PTH115
    except OSError:
        return False
