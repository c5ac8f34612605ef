"""The whole component: its node, its lease, its server, from configuration to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import EVENTS, LEASES, NODES, PODS
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.auth import methods
from kubelab.component.config import TLS
from kubelab.component.environment import Environment
from kubelab.kubelet.__main__ import run
from kubelab.kubelet.config import KubeletConfig
from kubelab.pki import certificates
from kubelab.rpc.channels import TLSIdentity, open_channel
from kubelab.rpc.kubelet.v1 import kubelet_pb2, kubelet_pb2_grpc
from kubelab.topology.record import NodeRecord
from tests.support.apiserver import ApiServerInMemory
from tests.support.cri import FakeRuntime
from tests.support.pki import TestAuthority
from tests.support.polling import until_answered

MakePod = Callable[..., core_pb2.Pod]


@dataclass
class House:
    api: ApiServerInMemory
    cri: FakeRuntime
    config: KubeletConfig
    authority: TestAuthority

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncGenerator[None]:
        env = Environment(self.config, "kubelet", make_client=self.api.client)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(self.config, env))
            try:
                yield
            finally:
                env.stop.set()
                await asyncio.wait([task], timeout=10)
                assert task.done(), "a kubelet stops when it is told to"

    def node(self) -> core_pb2.Node:
        return self.api.get(NODES, "node-1") or core_pb2.Node()

    def ready(self) -> core_pb2.NodeCondition:
        return next((c for c in self.node().status.conditions if c.type == "Ready"), core_pb2.NodeCondition())

    @contextlib.asynccontextmanager
    async def stub(self, user: str = "kube-apiserver-kubelet-client", group: str = "") -> AsyncGenerator[Any]:
        files = self.authority.issue(user, group)
        identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
        async with open_channel(self.config.bind_address, identity, server_name="kubelet.node-1") as channel:
            yield kubelet_pb2_grpc.KubeletStub(channel)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def house(short_folder: Path) -> AsyncIterator[House]:
    authority = TestAuthority(short_folder)
    files = authority.issue("kubelet@node-1", addresses=(), names=("kubelet.node-1",))
    config = KubeletConfig(
        name="kubelet@node-1",
        node_name="node-1",
        node_ip="127.0.0.1",
        bind_address=f"127.0.0.1:{_free_port()}",
        metrics_address="",
        tls=TLS(ca=files.ca, certificate=files.certificate, key=files.key),
        runtime_socket=short_folder / "cri.sock",
        state_dir=short_folder / "state",
        log_dir=short_folder / "logs",
        node_labels={"node.kubernetes.io/disk": "ssd"},
        routes=False,
        runtime_grace_period=0.2,
    )
    api, cri = ApiServerInMemory(), FakeRuntime(images={"app:v1": 1000}, network_ready=False)
    async with cri.serving(config.runtime_socket):
        yield House(api, cri, config, authority)


async def test_a_node_registers_waits_for_its_network_and_gets_ready(house: House) -> None:
    async with house.kubelet():
        await house.api.until(lambda: house.ready().reason == "KubeletNotReady")
        assert house.ready().message == (
            "container runtime network not ready: NetworkReady=false "
            "reason:NetworkPluginNotReady message:no pod CIDR yet"
        )
        node = house.node()
        node.spec.podCIDR = "10.244.1.0/24"
        await house.api.client().update(node)
        await house.api.until(lambda: house.ready().status == "True")
        await house.api.until(lambda: house.api.get(LEASES, "kube-node-lease/node-1"))
        await house.api.until(lambda: any(e.reason == "NodeReady" for e in _events(house)))
    assert house.cri.pod_cidr == "10.244.1.0/24"
    status = house.node().status
    assert (house.ready().reason, house.ready().message) == ("KubeletReady", "kubelet is posting ready status")
    assert [(c.type, c.status) for c in status.conditions] == [
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
        ("Ready", "True"),
    ]
    assert [(a.type, a.address) for a in status.addresses] == [("InternalIP", "127.0.0.1"), ("Hostname", "node-1")]
    assert status.nodeInfo.kubeletVersion == GIT_VERSION
    assert status.nodeInfo.containerRuntimeVersion == "fake://1.0"
    assert status.capacity["pods"].string == "110"
    assert [i.names[0] for i in status.images] == ["app:v1"]
    labels = house.node().metadata.labels
    assert labels["kubernetes.io/hostname"] == "node-1"
    assert "node.kubernetes.io/disk" in labels
    lease = house.api.get(LEASES, "kube-node-lease/node-1")
    assert lease is not None
    assert (lease.spec.holderIdentity, lease.spec.leaseDurationSeconds) == ("node-1", 40)
    assert lease.metadata.ownerReferences[0].uid == house.node().metadata.uid
    reasons = {e.reason: e.message for e in _events(house)}
    assert reasons["Starting"] == "Starting kubelet."
    assert reasons["NodeReady"] == "Node node-1 status is now: NodeReady"
    assert reasons["NodeHasSufficientMemory"] == "Node node-1 status is now: NodeHasSufficientMemory"


async def test_a_restarted_kubelet_takes_its_node_over_and_a_deleted_node_comes_back(house: House) -> None:
    async with house.kubelet():
        await house.api.until(lambda: house.ready().reason)
    first = house.node().metadata.uid
    relabelled = house.node()
    del relabelled.metadata.labels["kubernetes.io/os"]
    del relabelled.metadata.labels["node.kubernetes.io/disk"]
    await house.api.client().update(relabelled)
    async with house.kubelet():
        await house.api.until(lambda: house.node().metadata.labels.get("kubernetes.io/os"))
        assert "node.kubernetes.io/disk" not in house.node().metadata.labels  # an administrator took it away
        assert house.node().metadata.uid == first
        house.api.remove(NODES, "node-1")
        await house.api.until(lambda: house.node().metadata.uid not in ("", first))
        assert "node.kubernetes.io/disk" in house.node().metadata.labels


async def test_a_runtime_that_goes_and_comes_back(house: House, short_folder: Path) -> None:
    house.cri.network_ready = True
    async with contextlib.AsyncExitStack() as stack:
        house.config.runtime_socket = short_folder / "other.sock"
        serving = house.cri.serving(house.config.runtime_socket)
        await serving.__aenter__()
        await stack.enter_async_context(house.kubelet())
        await house.api.until(lambda: house.ready().status == "True")
        await serving.__aexit__(None, None, None)
        await house.api.until(lambda: house.ready().message == "container runtime is down")
        await stack.enter_async_context(house.cri.serving(house.config.runtime_socket))
        await house.api.until(lambda: house.ready().status == "True")
        await stack.aclose()


async def test_logs_and_calls_are_answered_over_mtls(house: House, make_pod: MakePod) -> None:
    house.cri.network_ready = True
    pod = make_pod()
    async with house.kubelet(), house.stub() as stub:
        house.api.add(pod)
        await house.api.until(lambda: _phase(house) == "Running")
        await asyncio.to_thread(house.cri.log, "app", "hello")
        found = house.api.get(PODS, "default/web")
        assert found is not None
        uid = found.metadata.uid
        request = kubelet_pb2.ContainerLogsRequest(namespace="default", pod="web", pod_uid=uid)
        assert await _logs(stub, request) == b"hello\n"
        assert [r.verb async for r in stub.CallRecords(kubelet_pb2.CallRecordsRequest(pod_uid=uid))].count(
            "StartContainer"
        ) == 1
        request.options.previous = True
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _logs(stub, request)
        assert refused.value.details() == 'previous terminated container "app" in pod "web" not found'
        follow = kubelet_pb2.ContainerLogsRequest(namespace="default", pod="web", pod_uid=uid)
        follow.options.follow = True
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            following = group.create_task(_logs(stub, follow))
            await asyncio.to_thread(house.cri.log, "app", "bye")
            house.cri.exit("app", 0)
        assert following.result() == b"hello\nbye\n"


PLANE = (NodeRecord("node-1", "127.0.0.1", control_plane=True),)
CALLERS = {
    **{i.common_name: i.organisation for i in certificates.identities(PLANE) if i.usages == certificates.CLIENT},
    "system:node:node-2": "system:nodes",
    "jane": "people",
    "root": "system:masters",
}


@pytest.mark.parametrize("user", CALLERS)
async def test_a_kubelet_asks_the_rights_of_its_caller(house: House, user: str) -> None:
    """Any certificate of the cluster read any pod's log here, past the api-server."""
    allowed = user in ("kube-apiserver-kubelet-client", "kubernetes-admin", "root")
    logs = kubelet_pb2.ContainerLogsRequest(namespace="default", pod="web")
    records = kubelet_pb2.CallRecordsRequest(pod_uid="x")
    async with house.kubelet(), house.stub(user, CALLERS[user]) as stub:
        for method, request, subresource in ((stub.ContainerLogs, logs, "proxy"), (stub.CallRecords, records, "log")):
            call = method(request, timeout=10, wait_for_ready=True)
            with pytest.raises(grpc.aio.AioRpcError) if not allowed else contextlib.suppress(grpc.aio.AioRpcError):
                _ = [answer async for answer in call]
            refused = await call.code() is grpc.StatusCode.PERMISSION_DENIED
            assert refused is not allowed
            if refused:
                told = f"Forbidden (user={user}, verb=get, resource=nodes, subresource(s)=[{subresource}])"
                assert await call.details() == told


def test_every_method_of_a_kubelet_has_its_right() -> None:
    service = kubelet_pb2.DESCRIPTOR.services_by_name["Kubelet"]
    assert set(methods.KUBELET) == {f"/{service.full_name}/{method.name}" for method in service.methods}


async def test_logs_are_turned_over_and_followed_over_the_turn(house: House, make_pod: MakePod) -> None:
    house.cri.network_ready = True
    house.config.container_log_max_size, house.config.container_log_monitor_interval = "1Ki", 0.02
    async with house.kubelet(), house.stub() as stub:
        house.api.add(make_pod())
        await house.api.until(lambda: _phase(house) == "Running")
        request = kubelet_pb2.ContainerLogsRequest(namespace="default", pod="web")
        follow = kubelet_pb2.ContainerLogsRequest(namespace="default", pod="web")
        follow.options.follow = True
        got, began = list[bytes](), asyncio.Event()

        async def following() -> None:
            async for chunk in stub.ContainerLogs(follow, timeout=10):
                got.append(chunk.data)
                began.set()

        await asyncio.to_thread(house.cri.log, "app", "hello")
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(following())
            await began.wait()
            await asyncio.to_thread(house.cri.log, "app", "x" * 1024)
            await house.cri.until(lambda: house.cri.calls_of("ReopenContainerLog"))
            await asyncio.to_thread(house.cri.log, "app", "bye")
            assert await _logs(stub, request) == b"bye\n", "what is written now"
            house.cri.exit("app", 0)
        assert b"".join(got) == b"hello\n" + b"x" * 1024 + b"\nbye\n"


def _events(house: House) -> list[core_pb2.Event]:
    return house.api.objects(EVENTS)


def _phase(house: House) -> str:
    pod = house.api.get(PODS, "default/web")
    return pod.status.phase if pod is not None else ""


async def _logs(stub: Any, request: kubelet_pb2.ContainerLogsRequest) -> bytes:
    return b"".join([chunk.data async for chunk in stub.ContainerLogs(request, timeout=10)])


async def test_the_paths_that_people_read_through_the_api_server(house: House, make_pod: MakePod) -> None:
    async with house.kubelet():
        await house.api.until(lambda: house.ready().reason)
        house.api.add(pod := make_pod())
        async with house.stub() as stub:

            async def read(path: str) -> kubelet_pb2.ReadPathResponse:
                return await stub.ReadPath(kubelet_pb2.ReadPathRequest(path=path))

            assert [(await read(path)).body for path in ("/healthz", "/healthz/ping")] == [b"ok", b"ok"]
            assert b"process_resident_memory_bytes" in (await read("/metrics")).body
            config = json.loads((await read("/configz")).body)["kubeletconfig"]
            assert (config["nodeName"], config["maxPods"], config["stateDir"]) == (
                "node-1",
                110,
                str(house.config.state_dir),
            )
            items: list[Any] = []

            async def has_pods() -> bool:
                items[:] = json.loads((await read("/pods/")).body)["items"]
                return bool(items)

            await until_answered(has_pods, within=10)
            assert [(pod["metadata"]["name"], pod["spec"]["nodeName"]) for pod in items] == [
                (pod.metadata.name, "node-1")
            ]
            missing = await read("/run/x")
            assert (missing.code, missing.body) == (404, b"404 page not found\n")
        for user, group in (
            ("system:node:node-2", "system:nodes"),
            ("jane", "people"),
            ("prometheus", "system:monitoring"),
        ):
            async with house.stub(user, group) as stub:
                with pytest.raises(grpc.aio.AioRpcError, match=r"resource=nodes, subresource\(s\)=\[proxy\]"):
                    await stub.ReadPath(kubelet_pb2.ReadPathRequest(path="/healthz"))
