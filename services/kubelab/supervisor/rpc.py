"""The Supervisor service: check, call, convert."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.apimachinery import errors
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.rpc.supervisor.v1 import supervisor_pb2_grpc
from kubelab.supervisor import logfiles, processes
from kubelab.supervisor.keeperstates import KeeperState
from kubelab.supervisor.supervisor import ProcessUsage, Supervisor
from kubelab.topology.partitions import Partition
from kubelab.tunnels.model import Tunnel

Context = grpc.aio.ServicerContext[Any, Any]
Action = pb.ActRequest.Action
ETCD_FULL = "its quota is reached: it takes nothing new until objects are deleted"


class SupervisorServicer(supervisor_pb2_grpc.SupervisorServicer):
    """Answers for one cluster."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def Status(self, request: pb.StatusRequest, context: Context) -> pb.StatusResponse:
        self._must_stay()
        usage, _ = await asyncio.gather(self._supervisor.usage(), self._supervisor.etcd_leader.look())
        return self._status(usage)

    async def WatchStatus(self, request: pb.StatusRequest, context: Context) -> AsyncGenerator[pb.StatusResponse]:
        self._must_stay()
        with self._supervisor.etcd_leader.watching():
            async with contextlib.aclosing(self._supervisor.changes()) as changes:
                async for _ in changes:
                    yield self._status({})

    async def Act(self, request: pb.ActRequest, context: Context) -> pb.ActResponse:
        keeper = self._supervisor.keeper(request.process)
        act = {
            Action.KILL: keeper.kill,
            Action.STOP: keeper.stop,
            Action.START: keeper.start,
            Action.RESTART: keeper.restart,
            Action.PAUSE: keeper.pause,
            Action.RESUME: keeper.resume,
        }.get(request.action)
        if act is None:
            raise errors.BadRequest("action: required value")
        await act()
        answer = self._status({})
        return pb.ActResponse(process=next(p for p in answer.processes if p.name == request.process))

    async def Logs(self, request: pb.LogsRequest, context: Context) -> AsyncGenerator[pb.LogsChunk]:
        supervisor = self._supervisor
        without_keeper = (processes.SUPERVISOR, processes.ZYGOTE)
        name = (
            processes.SUPERVISOR if request.process in without_keeper else supervisor.keeper(request.process).spec.name
        )
        lines = logfiles.read(
            supervisor.follower, supervisor.record.log(name), tail=request.tail_lines, follow=request.follow
        )
        async with contextlib.aclosing(lines):
            async for data in lines:
                yield pb.LogsChunk(data=data)

    async def OpenTunnel(self, request: pb.OpenTunnelRequest, context: Context) -> pb.Tunnel:
        return _tunnel(await self._supervisor.tunnels.open(request.node, request.address, request.local_port))

    async def CloseTunnel(self, request: pb.CloseTunnelRequest, context: Context) -> pb.CloseTunnelResponse:
        await self._supervisor.tunnels.close_tunnel(request.local_port)
        return pb.CloseTunnelResponse()

    async def ListTunnels(self, request: pb.ListTunnelsRequest, context: Context) -> pb.ListTunnelsResponse:
        return pb.ListTunnelsResponse(tunnels=[_tunnel(t) for t in self._supervisor.tunnels.list()])

    async def AddPartition(self, request: pb.Partition, context: Context) -> pb.Partition:
        await self._supervisor.partitions.add(_partition_of(request))
        self._supervisor.touch()
        return request

    async def Heal(self, request: pb.HealRequest, context: Context) -> pb.HealResponse:
        one = _partition_of(request.partition) if request.HasField("partition") else None
        await self._supervisor.partitions.heal(one)
        self._supervisor.touch()
        return pb.HealResponse()

    async def ListPartitions(self, request: pb.ListPartitionsRequest, context: Context) -> pb.ListPartitionsResponse:
        listed = [
            pb.Partition(source=p.source, target=p.target, one_way=p.one_way)
            for p in self._supervisor.partitions.list()
        ]
        return pb.ListPartitionsResponse(partitions=listed)

    async def Shutdown(self, request: pb.ShutdownRequest, context: Context) -> pb.ShutdownResponse:
        self._supervisor.ask_down(delete=request.delete)
        await self._supervisor.down()  # it goes on without us when the caller leaves
        return pb.ShutdownResponse()

    def _must_stay(self) -> None:
        """Raise Unavailable for a call to a cluster that is going down."""
        if self._supervisor.going_down:
            raise errors.Unavailable(f'cluster "{self._supervisor.record.name}" is just being stopped')

    def _status(self, usage: dict[str, ProcessUsage]) -> pb.StatusResponse:
        supervisor = self._supervisor
        record = supervisor.record
        own_process = supervisor.own_process
        unknown = ProcessUsage(0, 0.0)
        answer = pb.StatusResponse(cluster=record.name)
        for running, component in ((own_process, processes.SUPERVISOR), (supervisor.zygote(), processes.ZYGOTE)):
            used = usage.get(component, unknown)
            answer.processes.add(
                name=component,
                component=component,
                pid=running.pid if running else 0,
                started_unix_nano=running.since if running else 0,
                restarts=running.restarts if running else 0,
                state=KeeperState.RUNNING if running else KeeperState.STARTING,  # type: ignore[arg-type]
                memory_bytes=used.memory_bytes,
                cpu_seconds=used.cpu_seconds,
            )
        for keeper in supervisor.keepers.values():
            running, used = keeper.running, usage.get(keeper.spec.name, unknown)
            full = keeper.state is KeeperState.RUNNING and keeper.spec.name in supervisor.etcd_leader.full
            answer.processes.add(
                name=keeper.spec.name,
                component=keeper.spec.component,
                node=keeper.spec.node,
                pid=running.pid if running else 0,
                started_unix_nano=running.since if running else 0,
                restarts=keeper.restarts,
                state=(KeeperState.UNHEALTHY if full else keeper.state).value,  # type: ignore[arg-type]
                message=ETCD_FULL if full else keeper.message,
                memory_bytes=used.memory_bytes,
                cpu_seconds=used.cpu_seconds,
                leader=keeper.spec.name == supervisor.etcd_leader.name,
            )
        for node in record.nodes:
            answer.nodes.add(
                name=node.name,
                address=node.address,
                netns_path=str(record.namespace(node.name)),
                runtime_socket=str(record.runtime_socket(node.name)),
                control_plane=node.control_plane,
            )
        return answer


def _partition_of(message: pb.Partition) -> Partition:
    return Partition(message.source, message.target, message.one_way)


def _tunnel(tunnel: Tunnel) -> pb.Tunnel:
    return pb.Tunnel(local_port=tunnel.local_port, node=tunnel.node, address=tunnel.address)
