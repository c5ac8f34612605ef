"""The driver of a local cluster: gRPC to its supervisor, on a socket that only its owner may open."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from kubelab.apimachinery import errors
from kubelab.client.kubeconfig import Kubeconfig, home
from kubelab.client.loadingrules import LoadingRules
from kubelab.client.transport import Connections, Method
from kubelab.cluster import othercluster
from kubelab.cluster.driver import (
    Action,
    ClusterNode,
    ClusterStatus,
    ClusterTunnel,
    CommandOutput,
    Process,
    ProcessState,
)
from kubelab.cluster.programs import invoked, run_command
from kubelab.rpc.channels import unix_channel
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.topology import lock
from kubelab.topology.partitions import Partition
from kubelab.topology.record import DEFAULT_NAME, Record
from kubelab.topology.settings import look_up

CALL_SECONDS = 10.0
SHUTDOWN_SECONDS = 120.0
ACT_SECONDS = 60.0  # it answers once the effect is there: a stop may take its grace period

_SERVICE = "/kubelab.rpc.supervisor.v1.Supervisor/"
STATUS = Method(_SERVICE + "Status", pb.StatusRequest, pb.StatusResponse, idempotent=True)
WATCH_STATUS = Method(_SERVICE + "WatchStatus", pb.StatusRequest, pb.StatusResponse)
ACT = Method(_SERVICE + "Act", pb.ActRequest, pb.ActResponse)
LOGS = Method(_SERVICE + "Logs", pb.LogsRequest, pb.LogsChunk)
OPEN_TUNNEL = Method(_SERVICE + "OpenTunnel", pb.OpenTunnelRequest, pb.Tunnel, idempotent=True)
CLOSE_TUNNEL = Method(_SERVICE + "CloseTunnel", pb.CloseTunnelRequest, pb.CloseTunnelResponse)
SHUTDOWN = Method(_SERVICE + "Shutdown", pb.ShutdownRequest, pb.ShutdownResponse)
ADD_PARTITION = Method(_SERVICE + "AddPartition", pb.Partition, pb.Partition, idempotent=True)
HEAL = Method(_SERVICE + "Heal", pb.HealRequest, pb.HealResponse, idempotent=True)
LIST_PARTITIONS = Method(
    _SERVICE + "ListPartitions", pb.ListPartitionsRequest, pb.ListPartitionsResponse, idempotent=True
)
LIST_TUNNELS = Method(_SERVICE + "ListTunnels", pb.ListTunnelsRequest, pb.ListTunnelsResponse, idempotent=True)

_STATES = {
    pb.Process.STARTING: ProcessState.STARTING,
    pb.Process.RUNNING: ProcessState.RUNNING,
    pb.Process.UNHEALTHY: ProcessState.UNHEALTHY,
    pb.Process.BACK_OFF: ProcessState.BACK_OFF,
    pb.Process.STOPPED: ProcessState.STOPPED,
    pb.Process.PAUSED: ProcessState.PAUSED,
    pb.Process.WAITING: ProcessState.WAITING,
}
_ACTIONS = {
    Action.KILL: pb.ActRequest.KILL,
    Action.STOP: pb.ActRequest.STOP,
    Action.START: pb.ActRequest.START,
    Action.RESTART: pb.ActRequest.RESTART,
    Action.PAUSE: pb.ActRequest.PAUSE,
    Action.RESUME: pb.ActRequest.RESUME,
}


class LocalCluster:
    """A cluster of processes on this machine. Nothing is opened before the first call."""

    def __init__(
        self,
        name: str,
        socket: Path,
        *,
        rules: LoadingRules | None = None,
        caller: str = "kubelab",
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.name = name
        self._socket, self._settings = socket, settings or {}
        self._rules = rules or LoadingRules.of()
        self._calls = Connections([str(socket)], unix_channel, caller=caller)

    @classmethod
    def find(cls, name: str, *, folder: Path | None = None, caller: str = "kubelab") -> LocalCluster:
        """Find a cluster by its record on disk. Raises NotFound when there is none, RecordError for a broken one."""
        record = Record.load(folder or home(), name)
        if record is None:
            where = (folder or home()).absolute()
            start = f"kubelab up{_named(name)}"
            if elsewhere := othercluster.elsewhere(name, where):
                raise errors.NotFound(f"{elsewhere}\n{where} has none of this name; to start one there: {start}")
            raise errors.NotFound(f'cluster "{name}" not found; start it with: {start}')
        return cls(name, record.socket, caller=caller, settings=record.settings)

    @property
    def kubeconfig(self) -> Kubeconfig:
        return self._rules.load()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def status(self) -> ClusterStatus:
        self._must_run()
        try:
            return _status_of(await self._calls.unary(STATUS, pb.StatusRequest(), timeout=CALL_SECONDS))
        except errors.Unavailable as err:
            if pid := lock.holder(self._socket.parent):
                message = f'the supervisor of cluster "{self.name}" (process {pid}) does not answer: {err.message}'
                raise errors.Unavailable(message) from err
            raise self._not_running() from err  # a socket that its supervisor has left behind

    async def watch_status(self) -> AsyncGenerator[ClusterStatus]:
        self._must_run()
        answers = self._calls.stream(WATCH_STATUS, pb.StatusRequest())
        try:
            async for answer in answers:
                yield _status_of(answer)
        finally:
            await answers.aclose()

    async def nodes(self) -> Sequence[ClusterNode]:
        return (await self.status()).nodes

    async def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        self._must_run()
        chunks = self._calls.stream(LOGS, pb.LogsRequest(process=process, follow=follow, tail_lines=tail))
        try:
            async for chunk in chunks:
                yield chunk.data
        finally:
            await chunks.aclose()

    async def act(self, process: str, action: Action) -> Process:
        self._must_run()
        request = pb.ActRequest(process=process, action=_ACTIONS[action])
        return _process_of((await self._calls.unary(ACT, request, timeout=ACT_SECONDS)).process)

    async def setting(self, component: str, key: str) -> str | None:
        return look_up(self._settings.get(component, {}), key)

    async def partition(self, *partitions: Partition) -> None:
        self._must_run()
        for partition in partitions:
            await self._calls.unary(ADD_PARTITION, _as_told(partition), timeout=CALL_SECONDS)

    async def heal(self, *partitions: Partition) -> None:
        self._must_run()
        requests = [pb.HealRequest(partition=_as_told(partition)) for partition in partitions]
        for request in requests or [pb.HealRequest()]:
            await self._calls.unary(HEAL, request, timeout=CALL_SECONDS)

    async def partitions(self) -> Sequence[Partition]:
        self._must_run()
        answer = await self._calls.unary(LIST_PARTITIONS, pb.ListPartitionsRequest(), timeout=CALL_SECONDS)
        return [Partition(partition.source, partition.target, partition.one_way) for partition in answer.partitions]

    async def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> CommandOutput:
        target = await self._node(node)
        return await run_command(["nsenter", f"--net={target.netns}", "--", *argv], stdin=stdin, timeout=timeout)

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> ClusterTunnel:
        self._must_run()
        request = pb.OpenTunnelRequest(node=node, address=address, local_port=local_port)
        return _tunnel_of(await self._calls.unary(OPEN_TUNNEL, request, timeout=CALL_SECONDS))

    async def close_tunnel(self, local_port: int) -> None:
        self._must_run()
        await self._calls.unary(CLOSE_TUNNEL, pb.CloseTunnelRequest(local_port=local_port), timeout=CALL_SECONDS)

    async def tunnels(self) -> Sequence[ClusterTunnel]:
        self._must_run()
        answer = await self._calls.unary(LIST_TUNNELS, pb.ListTunnelsRequest(), timeout=CALL_SECONDS)
        return [_tunnel_of(tunnel) for tunnel in answer.tunnels]

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        return unix_channel((await self._node(node)).runtime_socket)

    async def shutdown(self, *, delete: bool = False) -> None:
        """Stop the cluster; answers when processes, pods and network are gone. With ``delete`` its data goes too."""
        self._must_run()
        await self._calls.unary(SHUTDOWN, pb.ShutdownRequest(delete=delete), timeout=SHUTDOWN_SECONDS)

    async def close(self) -> None:
        await self._calls.close()

    async def _node(self, name: str) -> ClusterNode:
        """Find a node, the first one by default."""
        match = next((node for node in await self.nodes() if node.name == name or not name), None)
        if match is None:
            raise errors.not_found("nodes", name)
        return match

    def _must_run(self) -> None:
        try:
            exists = self._socket.exists()
        except PermissionError as err:
            message = f'cluster "{self.name}" was started by another user; type the same with: sudo -E {invoked()}'
            raise errors.Forbidden(message) from err
        if not exists:
            raise self._not_running()

    def _not_running(self) -> errors.Unavailable:
        return errors.Unavailable(f'cluster "{self.name}" is not running; start it with: kubelab up{_named(self.name)}')


def _named(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"


def _status_of(answer: pb.StatusResponse) -> ClusterStatus:
    nodes = tuple(
        ClusterNode(n.name, n.address, Path(n.netns_path), Path(n.runtime_socket), n.control_plane)
        for n in answer.nodes
    )
    return ClusterStatus(answer.cluster, tuple(_process_of(p) for p in answer.processes), nodes)


def _process_of(process: pb.Process) -> Process:
    return Process(
        name=process.name,
        component=process.component,
        node=process.node,
        pid=process.pid,
        since=process.started_unix_nano / 1e9,
        restarts=process.restarts,
        state=_STATES.get(process.state, ProcessState.UNKNOWN),
        message=process.message,
        memory_bytes=process.memory_bytes,
        cpu_seconds=process.cpu_seconds,
        leader=process.leader,
    )


def _as_told(partition: Partition) -> pb.Partition:
    return pb.Partition(source=partition.source, target=partition.target, one_way=partition.one_way)


def _tunnel_of(tunnel: pb.Tunnel) -> ClusterTunnel:
    return ClusterTunnel(tunnel.local_port, tunnel.node, tunnel.address)
