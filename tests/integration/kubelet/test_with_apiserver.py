"""A kubelet as a process of its own, on a real api-server and etcd; only the runtime is in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.scheme import EVENTS, NODES, PODS
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Access, Kubeconfig
from tests.support.cri import FakeRuntime
from tests.support.etcd import Etcd
from tests.support.pki import Files, TestAuthority

NODE = "node-1"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths fit in 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="kl-kubelet-") as folder:
        yield Path(folder)


@dataclass
class Cluster:
    client: Client
    cri: FakeRuntime
    folder: Path
    arguments: list[str]

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        async with process(self.folder / "kubelet.log", "kubelab.kubelet", *self.arguments) as running:
            yield running

    async def until(self, what: Callable[[], object], *, seconds: float = 20.0) -> None:
        await self.cri.until(what, seconds=seconds)

    async def pod(self, name: str, matches: Callable[[core_pb2.Pod], bool], seconds: float = 20.0) -> core_pb2.Pod:
        """Watch the pod until it is as wanted."""
        async with asyncio.timeout(seconds):
            found = await self.client.list(PODS, "default", field_selector=f"metadata.name={name}")
            for pod in found.items:
                if matches(pod):
                    return pod
            events = self.client.watch(
                PODS, "default", resource_version=found.resource_version, field_selector=f"metadata.name={name}"
            )
            async with contextlib.aclosing(events):
                async for event in events:
                    if event.object is not None and matches(event.object):
                        return event.object
        raise AssertionError("the watch ended")


@contextlib.asynccontextmanager
async def process(log: Path, module: str, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    with log.open("ab") as out:
        started = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdout=out, stderr=out)
        try:
            yield started
        finally:
            if started.returncode is None:
                started.terminate()
            async with asyncio.timeout(15):
                await started.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _tls(files: Files, prefix: str = "tls") -> list[str]:
    return [f"--{prefix}-ca={files.ca}", f"--{prefix}-certificate={files.certificate}", f"--{prefix}-key={files.key}"]


def _access(address: str, files: Files) -> Access:
    return Access((address,), files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes())


def _kubeconfig(folder: Path, address: str, files: Files) -> Path:
    path = folder / "kubelet.kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        f"clusters: [{{name: x, cluster: {{server: 'https://{address}', certificate-authority: '{files.ca}'}}}}]\n"
        f"users: [{{name: x, user: {{client-certificate: '{files.certificate}', client-key: '{files.key}'}}}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
    )
    Kubeconfig.load(path).access("")
    return path


@pytest.fixture
async def cluster(etcd_server: Etcd, authority: TestAuthority, short_folder: Path) -> AsyncIterator[Cluster]:
    address = f"127.0.0.1:{_free_port()}"
    server = authority.issue("kube-apiserver")
    admin = authority.issue("kubernetes-admin", "system:masters")
    node = authority.issue(f"system:node:{NODE}", "system:nodes")
    api = [
        f"--bind-address={address}",
        "--http-bind-address=",
        f"--etcd-servers={etcd_server.address}",
        *_tls(etcd_server.client, "etcd-tls"),
        *_tls(server),
        *_tls(authority.issue("kube-apiserver-kubelet-client"), "kubelet-client"),
        "--workers=1",
    ]
    cri = FakeRuntime(images={"app:v1": 1000})
    arguments = [
        f"--name=kubelet@{NODE}",
        f"--node-name={NODE}",
        "--node-ip=127.0.0.1",
        f"--bind-address=127.0.0.1:{_free_port()}",
        "--metrics-address=127.0.0.1:0",
        *_tls(authority.issue(f"kubelet@{NODE}", addresses=(), names=(f"kubelet.{NODE}",))),
        f"--kubeconfig={_kubeconfig(short_folder, address, node)}",
        f"--runtime-socket={short_folder / 'cri.sock'}",
        f"--state-dir={short_folder / 'state'}",
        f"--log-dir={short_folder / 'logs'}",
        "--routes=false",
    ]
    access = _access(address, admin)
    async with (
        process(short_folder / "api-server.log", "kubelab.apiserver", *api),
        Client.from_kubeconfig(access, caller="test") as client,
        cri.serving(short_folder / "cri.sock"),
    ):
        async with asyncio.timeout(20):
            while True:
                try:
                    await client.get(NODES, "none")
                except NotFound:
                    break
                except ApiError:
                    await SystemClock().sleep(0.05)
        yield Cluster(client, cri, short_folder, arguments)


def bound(name: str) -> core_pb2.Pod:
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace = name, "default"
    pod.spec.containers.add(name="app", image="app:v1")
    pod.spec.nodeName = NODE
    return pod


def is_ready(pod: core_pb2.Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


async def test_a_pod_s_life_with_kubelets_that_die(cluster: Cluster) -> None:
    async with cluster.kubelet() as first:
        await cluster.client.create(bound("web"))
        await cluster.pod("web", is_ready)
        await asyncio.to_thread(cluster.cri.log, "app", "hello")
        options = core_pb2.PodLogOptions(container="app")
        data = b"".join([chunk async for chunk in cluster.client.pod_logs("default", "web", options)])
        assert data == b"hello\n"
        first.kill()
        await first.wait()
        cluster.cri.exit("app", 3)  # while nobody looks
        async with cluster.kubelet():
            again = await cluster.pod("web", lambda p: is_ready(p) and p.status.containerStatuses[0].restartCount == 1)
            assert again.status.containerStatuses[0].lastState.terminated.exitCode == 3
            assert len(cluster.cri.calls_of("RunPodSandbox")) == 1
            await cluster.client.delete(PODS, "web", "default")
            await cluster.until(lambda: not cluster.cri.sandboxes)
            async with asyncio.timeout(10):
                while (await cluster.client.list(PODS, "default")).items:
                    await SystemClock().sleep(0.02)
    events = await cluster.client.list(EVENTS, "default")
    assert {"Pulled", "Created", "Started", "Killing"} <= {e.reason for e in events.items}


async def test_how_long_a_pod_takes_beside_the_runtime(cluster: Cluster) -> None:
    """Bound to Running, the runtime taking no time: the kubelet's and the api-server's own share."""
    clock = SystemClock()
    async with cluster.kubelet():
        await cluster.client.create(bound("warm"))
        await cluster.pod("warm", is_ready)
        taken: list[float] = []
        for n in range(20):
            started = clock.monotonic()
            await cluster.client.create(bound(f"web-{n}"))
            await cluster.pod(f"web-{n}", is_ready)
            taken.append(clock.monotonic() - started)
    figure = statistics.median(taken)
    assert figure < 0.5, f"{figure * 1000:.0f} ms"
