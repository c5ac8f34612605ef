"""Logs are read through to the pod's kubelet, after the checks that need no kubelet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.kubelet.v1 import kubelet_pb2, kubelet_pb2_grpc
from tests.support.answering import answering
from tests.support.pki import Files, TestAuthority


class FakeKubelet(kubelet_pb2_grpc.KubeletServicer):
    """Answers with two chunks; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[kubelet_pb2.ContainerLogsRequest] = []

    async def ContainerLogs(self, request: kubelet_pb2.ContainerLogsRequest, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        async with answering(context):
            if request.options.previous:
                raise errors.BadRequest("no such log")
            yield kubelet_pb2.ContainerLogsChunk(data=b"hello ")
            yield kubelet_pb2.ContainerLogsChunk(data=b"world\n")

    async def CallRecords(self, request: kubelet_pb2.CallRecordsRequest, context: Any) -> AsyncIterator[Any]:
        """A kubelet that speaks for others: it is not believed."""
        one = pb.AuditRecord(started_unix_nano=2**62, verb="RunPodSandbox", code="OK", process="api-server@cp-1")
        one.caller, one.user = "scheduler@cp-1", "system:masters"
        yield one


def tls(files: Files) -> TLS:
    return TLS(ca=files.ca, certificate=files.certificate, key=files.key)


def refused(container: str) -> core_pb2.Pod:
    made = pod(container)
    del made.status.containerStatuses[:]
    made.status.phase, made.status.reason = "Failed", "OutOfcpu"
    return made


def pod(*containers: str, node: str = "node-1", state: str = "running") -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name = "web"
    made.spec.nodeName = node
    for name in containers:
        made.spec.containers.add(name=name, image="hello")
        status = made.status.containerStatuses.add(name=name, image="hello")
        if state == "running":
            status.state.running.startedAt.seconds = 1
        else:
            status.state.waiting.reason = state
    return made


@pytest.fixture
async def kubelet(authority: TestAuthority) -> AsyncIterator[tuple[FakeKubelet, int]]:
    fake = FakeKubelet()  # pyright: ignore[reportAbstractUsage]
    add = partial(kubelet_pb2_grpc.add_KubeletServicer_to_server, fake)
    files = authority.issue("kubelet@node-1", addresses=(), names=("kubelet.node-1",))
    async with serve_grpc("127.0.0.1:0", [add], tls=tls(files), health=Health()) as serving:
        yield fake, serving.port


async def ready(start: Any, authority: TestAuthority, port: int, made: core_pb2.Pod) -> Any:
    client = authority.issue("kube-apiserver-kubelet-client")
    servers = await start(1, kubelet_client=tls(client))
    node = core_pb2.Node()
    node.metadata.name = "node-1"
    node.status.addresses.add(type="InternalIP", address="127.0.0.1")
    node.status.daemonEndpoints.kubeletEndpoint.Port = port
    await servers.a.create(node)
    status = made.status
    stored = await servers.a.create(made, "default")
    stored.status.CopyFrom(status)
    await servers.a.update_status(stored)
    return servers.a


async def read(client: Any, **options: Any) -> bytes:
    return b"".join([c async for c in client.pod_logs("default", "web", core_pb2.PodLogOptions(**options))])


async def test_the_kubelet_s_bytes_come_through(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    fake, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    assert await read(client, tailLines=5) == b"hello world\n"
    assert (fake.asked[0].options.container, fake.asked[0].options.tailLines) == ("main", 5)
    assert fake.asked[0].pod_uid
    records = [r async for r in client.audit_records("pods", "default", "web")]
    assert "RunPodSandbox" not in [r.verb for r in records]  # it was never bound: its node is not in the trail


async def test_binding_leads_the_trail_to_the_kubelet(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    _, port = kubelet
    client = await ready(start, authority, port, pod("main", node=""))
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name, binding.metadata.namespace = "web", "default"
    await client.bind(binding)
    records = [r async for r in client.audit_records("pods", "default", "web")]
    assert [r.verb for r in records] == ["create", "update", "create", "RunPodSandbox"]
    last = records[-1]
    assert (last.process, last.caller, last.user) == ("kubelet@node-1", "kubelet@node-1", "")


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (pod("a", "b"), {}, "a container name must be specified for pod web, choose one of: [a b]"),
        (pod("a", "b"), {"container": "c"}, "container c is not valid for pod web"),
        (
            pod("a", state="ContainerCreating"),
            {},
            'container "a" in pod "web" is waiting to start: ContainerCreating',
        ),
        (
            pod("a", state="ImagePullBackOff"),
            {},
            'container "a" in pod "web" is waiting to start: trying and failing to pull image',
        ),
        (refused("a"), {}, 'container "a" in pod "web" is not available'),
        (pod("a"), {"previous": True}, 'previous terminated container "a" in pod "web" not found'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_read_is_refused(
    start: Any, authority: TestAuthority, kubelet: Any, made: core_pb2.Pod, options: dict[str, Any], message: str
) -> None:
    fake, port = kubelet
    client = await ready(start, authority, port, made)
    with pytest.raises(errors.BadRequest) as told:
        await read(client, **options)
    assert told.value.message == message
    assert fake.asked == []


async def test_a_silent_kubelet_is_named(start: Any, authority: TestAuthority) -> None:
    client = await ready(start, authority, 1, pod("main"))
    with pytest.raises(errors.Unavailable, match=r'the kubelet of node "node-1" at 127.0.0.1:1 does not answer'):
        await read(client)
    with pytest.raises(errors.NotFound):
        await client.get(scheme.PODS, "other", "default")


async def test_a_node_that_tells_anothers_address_gets_no_answers_from_there(
    start: Any, authority: TestAuthority, kubelet: Any
) -> None:
    """A node chooses the address in its own status: there, the certificate of its own kubelet is expected."""
    _, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    impostor = core_pb2.Node()
    impostor.metadata.name = "node-2"
    impostor.status.addresses.add(type="InternalIP", address="127.0.0.1")
    impostor.status.daemonEndpoints.kubeletEndpoint.Port = port
    await client.create(impostor)
    other = pod("main")
    other.metadata.name, other.spec.nodeName = "other", "node-2"
    status = other.status
    stored = await client.create(other, "default")
    stored.status.CopyFrom(status)
    await client.update_status(stored)
    with pytest.raises(errors.Unavailable, match=r'the kubelet of node "node-2" at 127.0.0.1:\d+ does not answer'):
        _ = [c async for c in client.pod_logs("default", "other")]
    assert await read(client) == b"hello world\n"
