"""The local driver over a real socket: what the supervisor says comes out as the driver's own types."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubelab.apimachinery import errors
from kubelab.cluster.driver import Action, ClusterNode, ClusterTunnel, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.rpc.supervisor.v1 import supervisor_pb2_grpc
from kubelab.topology.partitions import Partition
from tests.support.answering import answering


class FakeSupervisor(supervisor_pb2_grpc.SupervisorServicer):
    """One node, one process; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.process = pb.Process(
            name="scheduler@cp-1",
            component="scheduler",
            node="cp-1",
            pid=42,
            started_unix_nano=1_500_000_000,
            restarts=3,
            state=pb.Process.BACK_OFF,
            message="exit code 1",
            memory_bytes=1024,
        )

    def _status(self) -> pb.StatusResponse:
        node = pb.NodeStatus(
            name="cp-1", address="192.168.49.2", netns_path="/ns/cp-1", runtime_socket="/r.sock", control_plane=True
        )
        return pb.StatusResponse(cluster="lab", processes=[self.process], nodes=[node])

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse:
        return self._status()

    async def WatchStatus(self, request: pb.StatusRequest, context: Any) -> AsyncIterator[pb.StatusResponse]:
        yield self._status()
        self.process.state = pb.Process.RUNNING
        yield self._status()

    async def Act(self, request: pb.ActRequest, context: Any) -> pb.ActResponse:
        async with answering(context):
            if request.process != self.process.name:
                raise errors.not_found("processes", request.process)
            self.asked.append(request)
        return pb.ActResponse(process=self.process)

    async def Logs(self, request: pb.LogsRequest, context: Any) -> AsyncIterator[pb.LogsChunk]:
        self.asked.append(request)
        yield pb.LogsChunk(data=b"one\n")
        yield pb.LogsChunk(data=b"two\n")

    async def OpenTunnel(self, request: pb.OpenTunnelRequest, context: Any) -> pb.Tunnel:
        return pb.Tunnel(local_port=request.local_port or 4000, node=request.node, address=request.address)

    async def CloseTunnel(self, request: pb.CloseTunnelRequest, context: Any) -> pb.CloseTunnelResponse:
        self.asked.append(request)
        return pb.CloseTunnelResponse()

    async def ListTunnels(self, request: pb.ListTunnelsRequest, context: Any) -> pb.ListTunnelsResponse:
        return pb.ListTunnelsResponse(tunnels=[pb.Tunnel(local_port=1, node="cp-1", address="a:1")])

    async def AddPartition(self, request: pb.Partition, context: Any) -> pb.Partition:
        self.asked.append(request)
        return request

    async def Heal(self, request: pb.HealRequest, context: Any) -> pb.HealResponse:
        self.asked.append(request)
        return pb.HealResponse()

    async def ListPartitions(self, request: pb.ListPartitionsRequest, context: Any) -> pb.ListPartitionsResponse:
        return pb.ListPartitionsResponse(partitions=[pb.Partition(source="cp-1", target="node-1", one_way=True)])

    async def Shutdown(self, request: pb.ShutdownRequest, context: Any) -> pb.ShutdownResponse:
        self.asked.append(request)
        return pb.ShutdownResponse()


@pytest.fixture
def socket() -> Any:
    with tempfile.TemporaryDirectory(prefix="kl-") as folder:  # a unix socket's path must be short
        yield Path(folder) / "s.sock"


@pytest.fixture
async def supervisor(socket: Path) -> AsyncIterator[FakeSupervisor]:
    fake = FakeSupervisor()
    server = grpc.aio.server()
    supervisor_pb2_grpc.add_SupervisorServicer_to_server(fake, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    yield fake
    await server.stop(0)


async def test_status_logs_and_tunnels(supervisor: FakeSupervisor, socket: Path) -> None:
    async with LocalCluster("lab", socket) as cluster:
        status = await cluster.status()
        (process,) = status.processes
        assert (process.name, process.state, process.since, process.restarts) == (
            "scheduler@cp-1",
            ProcessState.BACK_OFF,
            1.5,
            3,
        )
        assert [*await cluster.nodes()] == [
            ClusterNode("cp-1", "192.168.49.2", Path("/ns/cp-1"), Path("/r.sock"), control_plane=True)
        ]
        assert [s.processes[0].state async for s in cluster.watch_status()] == [
            ProcessState.BACK_OFF,
            ProcessState.RUNNING,
        ]
        assert [data async for data in cluster.logs("scheduler@cp-1", tail=2)] == [b"one\n", b"two\n"]
        assert supervisor.asked == [pb.LogsRequest(process="scheduler@cp-1", tail_lines=2)]
        assert await cluster.open_tunnel("cp-1", "10.96.0.1:443") == ClusterTunnel(4000, "cp-1", "10.96.0.1:443")
        assert [*await cluster.tunnels()] == [ClusterTunnel(1, "cp-1", "a:1")]


@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
async def test_every_action_reaches_the_supervisor(supervisor: FakeSupervisor, socket: Path, action: Action) -> None:
    async with LocalCluster("lab", socket) as cluster:
        await cluster.act("scheduler@cp-1", action)
    assert pb.ActRequest.Action.Name(supervisor.asked[0].action) == action.name


async def test_partitions_and_their_healing(supervisor: FakeSupervisor, socket: Path) -> None:
    cut = Partition("cp-1", "etcd@cp-2", one_way=True)
    told = pb.Partition(source="cp-1", target="etcd@cp-2", one_way=True)
    async with LocalCluster("lab", socket) as cluster:
        await cluster.partition(cut)
        await cluster.heal(cut)
        await cluster.heal()
        assert supervisor.asked == [told, pb.HealRequest(partition=told), pb.HealRequest()]
        assert not supervisor.asked[2].HasField("partition"), "all of them"
        assert await cluster.partitions() == [Partition("cp-1", "node-1", one_way=True)]


async def test_a_command_in_a_node_that_is_not_there(supervisor: FakeSupervisor, socket: Path) -> None:
    async with LocalCluster("lab", socket) as cluster:
        with pytest.raises(errors.NotFound, match="node-9"):
            await cluster.run("node-9", ["true"])


async def test_an_error_keeps_its_type(supervisor: FakeSupervisor, socket: Path) -> None:
    async with LocalCluster("lab", socket) as cluster:
        with pytest.raises(errors.NotFound, match="no-such"):
            await cluster.act("no-such", Action.KILL)


async def test_a_cluster_that_does_not_run_says_what_to_type(socket: Path) -> None:
    async with LocalCluster("lab", socket) as cluster:
        with pytest.raises(errors.Unavailable, match="kubelab up --name lab"):
            await cluster.status()


def test_a_cluster_that_does_not_exist_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match='cluster "lab" not found'):
        LocalCluster.find("lab", folder=tmp_path)
