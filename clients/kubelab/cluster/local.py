"""The driver of a local cluster: gRPC to its supervisor, on a socket that only its owner may open."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from kubelab.apimachinery import errors
from kubelab.client.channels import unix_channel
from kubelab.client.kubeconfig import default_path
from kubelab.client.transport import Connections, Method
from kubelab.cluster.driver import ClusterNotFound, NotRunning
from kubelab.cluster.record import Record
from kubelab.supervisor.v1 import supervisor_pb2 as pb

__all__ = ["ClusterNotFound", "LocalCluster", "NotRunning"]

CALL_SECONDS = 10.0
ACT_SECONDS = 60.0  # it answers once the effect is there: a stop may take its grace period
SHUTDOWN_SECONDS = 90.0

_SERVICE = "/kubelab.supervisor.v1.Supervisor/"
STATUS = Method(_SERVICE + "Status", pb.StatusRequest, pb.StatusResponse, idempotent=True)
WATCH_STATUS = Method(_SERVICE + "WatchStatus", pb.StatusRequest, pb.StatusResponse)
ACT = Method(_SERVICE + "Act", pb.ActRequest, pb.ActResponse)
LOGS = Method(_SERVICE + "Logs", pb.LogsRequest, pb.LogsChunk)
OPEN_TUNNEL = Method(_SERVICE + "OpenTunnel", pb.OpenTunnelRequest, pb.Tunnel)
CLOSE_TUNNEL = Method(_SERVICE + "CloseTunnel", pb.CloseTunnelRequest, pb.CloseTunnelResponse)
LIST_TUNNELS = Method(_SERVICE + "ListTunnels", pb.ListTunnelsRequest, pb.ListTunnelsResponse, idempotent=True)
SHUTDOWN = Method(_SERVICE + "Shutdown", pb.ShutdownRequest, pb.ShutdownResponse)


class LocalCluster:
    """A cluster of processes on this machine. Nothing is opened before the first call.

    Every call raises NotRunning when nobody listens on the supervisor's socket.
    """

    def __init__(self, record: Record, *, caller: str = "kubelab") -> None:
        self.record = record
        self._calls = Connections([str(record.socket)], unix_channel, caller=caller)

    @classmethod
    def find(cls, home: Path, name: str, *, caller: str = "kubelab") -> LocalCluster:
        """Find a cluster by its record. Raises ClusterNotFound when there is none, RecordError for a broken one."""
        record = Record.load(home, name)
        if record is None:
            raise ClusterNotFound(f'cluster "{name}" not found')
        return cls(record, caller=caller)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def kubeconfig(self) -> Path:
        return default_path()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def status(self) -> pb.StatusResponse:
        self._must_run()
        return await self._calls.unary(STATUS, pb.StatusRequest(), timeout=CALL_SECONDS)

    async def watch_status(self) -> AsyncGenerator[pb.StatusResponse]:
        self._must_run()
        answers = self._calls.stream(WATCH_STATUS, pb.StatusRequest())
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def nodes(self) -> Sequence[pb.NodeStatus]:
        return (await self.status()).nodes

    async def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        self._must_run()
        chunks = self._calls.stream(LOGS, pb.LogsRequest(process=process, follow=follow, tail_lines=tail))
        try:
            async for chunk in chunks:
                yield chunk.data
        finally:
            await chunks.aclose()

    async def act(self, process: str, action: pb.ActRequest.Action) -> pb.Process:
        self._must_run()
        request = pb.ActRequest(process=process, action=action)
        return (await self._calls.unary(ACT, request, timeout=ACT_SECONDS)).process

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> pb.Tunnel:
        self._must_run()
        request = pb.OpenTunnelRequest(node=node, address=address, local_port=local_port)
        return await self._calls.unary(OPEN_TUNNEL, request, timeout=CALL_SECONDS)

    async def close_tunnel(self, local_port: int) -> None:
        self._must_run()
        await self._calls.unary(CLOSE_TUNNEL, pb.CloseTunnelRequest(local_port=local_port), timeout=CALL_SECONDS)

    async def tunnels(self) -> Sequence[pb.Tunnel]:
        self._must_run()
        return (await self._calls.unary(LIST_TUNNELS, pb.ListTunnelsRequest(), timeout=CALL_SECONDS)).tunnels

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        found = next((n for n in await self.nodes() if n.name == node or not node), None)
        if found is None:
            raise errors.not_found("nodes", node)
        return unix_channel(found.runtime_socket)

    async def shutdown(self, *, delete: bool = False) -> None:
        """Stop every process and take the network down; the supervisor ends a moment after it has answered."""
        self._must_run()
        await self._calls.unary(SHUTDOWN, pb.ShutdownRequest(delete=delete), timeout=SHUTDOWN_SECONDS)

    async def close(self) -> None:
        await self._calls.close()

    def _must_run(self) -> None:
        """Knock at the socket; the kernel answers at once whether anybody listens."""
        with socket.socket(socket.AF_UNIX) as knock:
            try:
                knock.connect(str(self.record.socket))
            except (FileNotFoundError, ConnectionRefusedError) as err:
                raise NotRunning(f'cluster "{self.name}" is not running') from err
