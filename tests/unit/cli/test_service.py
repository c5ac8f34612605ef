"""``kubelab service``: minikube's tables to the character, and a tunnel for each port."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import grpc
import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.cli import service
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.cluster.driver import Action, ClusterNode, ClusterStatus, ClusterTunnel, CommandOutput, Process
from kubelab.topology.partitions import Partition

CP = ClusterNode("cp-1", "192.168.49.2", Path("/netns"), Path("/runtime.sock"), control_plane=True)

NODE_PORT = """\
|-----------|------|-------------|--------------------|
| NAMESPACE | NAME | TARGET PORT |    NODE ADDRESS    |
|-----------|------|-------------|--------------------|
| default   | node | 80-8080/80  | 192.168.49.2:31073 |
|-----------|------|-------------|--------------------|
*  Starting tunnel for service node.
|-----------|------|-------------|------------------------|
| NAMESPACE | NAME | TARGET PORT |          URL           |
|-----------|------|-------------|------------------------|
| default   | node |             | http://127.0.0.1:64287 |
|-----------|------|-------------|------------------------|
"""

CLUSTER_IP = """\
|-----------|-------------|-------------|--------------|
| NAMESPACE |    NAME     | TARGET PORT |     URL      |
|-----------|-------------|-------------|--------------|
| default   | app-service |             | No node port |
|-----------|-------------|-------------|--------------|
*  service default/app-service has no node port
*  Starting tunnel for service app-service.
|-----------|-------------|-------------|------------------------|
| NAMESPACE |    NAME     | TARGET PORT |          URL           |
|-----------|-------------|-------------|------------------------|
| default   | app-service |             | http://127.0.0.1:64287 |
|           |             |             | http://127.0.0.1:64288 |
|-----------|-------------|-------------|------------------------|
"""


class FakeCluster:
    """Opens tunnels at 64287 and above, and remembers them."""

    name = "kubelab"
    kubeconfig = Kubeconfig()

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> ClusterTunnel:
        self.opened.append((node, address))
        return ClusterTunnel(64286 + len(self.opened), node, address)

    async def status(self) -> ClusterStatus:
        return ClusterStatus("kubelab", (), (CP,))

    async def watch_status(self) -> AsyncGenerator[ClusterStatus]:
        yield await self.status()

    async def nodes(self) -> Sequence[ClusterNode]:
        return [CP]

    async def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        yield b""

    async def act(self, process: str, action: Action) -> Process:
        raise NotImplementedError

    async def close_tunnel(self, local_port: int) -> None:
        raise NotImplementedError

    async def setting(self, component: str, key: str) -> str | None:
        raise NotImplementedError

    async def partition(self, *partitions: Partition) -> None:
        raise NotImplementedError

    async def heal(self, *partitions: Partition) -> None:
        raise NotImplementedError

    async def partitions(self) -> Sequence[Partition]:
        return []

    async def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> CommandOutput:
        raise NotImplementedError

    async def tunnels(self) -> Sequence[ClusterTunnel]:
        return []

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        raise NotImplementedError

    async def close(self) -> None:
        return


def make(name: str, kind: str, *ports: core_pb2.ServicePort, address: str = "10.96.3.4") -> core_pb2.Service:
    return core_pb2.Service(
        metadata=meta_pb2.ObjectMeta(name=name, namespace="default"),
        spec=core_pb2.ServiceSpec(type=kind, clusterIP=address, ports=ports),
    )


def port(name: str, number: int, node_port: int = 0, protocol: str = "TCP") -> core_pb2.ServicePort:
    return core_pb2.ServicePort(name=name, port=number, nodePort=node_port, protocol=protocol)


CASES = {
    "node port": (make("node", "LoadBalancer", port("80-8080", 80, 31073)), NODE_PORT, ["192.168.49.2:31073"]),
    "cluster ip": (
        make("app-service", "ClusterIP", port("node", 8080), port("flask", 8090)),
        CLUSTER_IP,
        ["10.96.3.4:8080", "10.96.3.4:8090"],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_tables_are_minikube_s(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked, text, targets = CASES[case]
    cluster = FakeCluster()
    assert await service.show(asked, cluster, CP, only_url=False) == 0
    assert capsys.readouterr().out == text
    assert cluster.opened == [("", target) for target in targets]


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        (
            {"app": "node", "a": "b"},
            r"no ready pod matches its selector \(a=b,app=node\); look at: kctl get",
        ),
        ({}, "it has no selector, and its Endpoints have no addresses"),
    ],
)
def test_a_service_with_nothing_behind_it_says_why(selector: dict[str, str], told: str) -> None:
    asked = make("node", "NodePort")
    asked.spec.selector.update(selector)
    assert re.search(told, service._nothing_behind(asked))


async def test_url_prints_what_can_be_reached_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    asked = make("node", "NodePort", port("a", 80, 31073), port("", 90, 31074), port("dns", 53, 31075, "UDP"))
    assert await service.show(asked, FakeCluster(), CP, only_url=True) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:64287\nhttp://127.0.0.1:64288\n"


@pytest.mark.parametrize("address", ["None", ""])
async def test_a_service_without_an_address_is_said_so(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = make("headless", "ClusterIP", port("a", 80), address=address)
    assert await service.show(asked, FakeCluster(), CP, only_url=False) == service.NOT_REACHABLE
    assert "service default/headless has no address" in capsys.readouterr().err


def test_several_node_ports_share_a_row() -> None:
    table = service.node_port_table(make("web", "NodePort", port("http", 80, 30080), port("", 443, 30443)), "10.0.0.1")
    assert table.splitlines()[3:5] == [
        "| default   | web  | http/80     | 10.0.0.1:30080 |",
        "|           |      | 443         | 10.0.0.1:30443 |",
    ]
