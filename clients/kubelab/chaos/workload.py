"""The workload of an experiment: a namespace of its own with hello pods, a replication controller and a service.

It is created before the first check of the hypothesis and removed at the end. The image is built in every node's
runtime that does not have it, from the tutorial's own Dockerfile, so nothing has to be prepared.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import tarfile
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import NotFound, Timeout
from kubelab.apimachinery.scheme import NAMESPACES, REPLICATION_CONTROLLERS, SERVICES
from kubelab.chaos import bundled
from kubelab.client.client import Client, EventType
from kubelab.client.transport import translate
from kubelab.cluster.driver import ClusterDriver
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from kubelab.rpc.runtime.v1 import images_pb2, images_pb2_grpc

IMAGE = "kubelab/hello:v-1.0.0"
NAME = "hello"
LABELS = {"app": NAME}
PORT = 8080
QUICK_SECONDS = 30.0
BUILD_SECONDS = 180.0
REMOVE_SECONDS = 90.0
UNREACHABLE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class Workload:
    """The workload to create. ``toleration_seconds``: how long its pods stay on a lost node; None: the cluster's own
    default."""

    replicas: int = 3
    toleration_seconds: int | None = None


def new_namespace() -> str:
    """A name that no other experiment has."""
    return f"experiment-{secrets.token_hex(3)}"


async def make(client: Client, namespace: str, workload: Workload) -> core_pb2.Service:
    """Create namespace, service and replication controller; gives the service, which has its addresses now."""
    namespace_object = core_pb2.Namespace()
    namespace_object.metadata.name = namespace
    await client.create(namespace_object)
    service = core_pb2.Service()
    service.metadata.name = NAME
    service.spec.type = "NodePort"
    service.spec.selector.update(LABELS)
    service.spec.ports.add(port=PORT)
    stored = await client.create(service, namespace)
    await client.create(_controller(workload), namespace)
    return stored


def _controller(workload: Workload) -> core_pb2.ReplicationController:
    controller = core_pb2.ReplicationController()
    controller.metadata.name = NAME
    controller.spec.replicas = workload.replicas
    controller.spec.selector.update(LABELS)
    template = controller.spec.template
    template.metadata.labels.update(LABELS)
    template.spec.CopyFrom(pod_spec(workload.toleration_seconds))
    return controller


def pod_spec(toleration_seconds: int | None = None) -> core_pb2.PodSpec:
    """A hello pod."""
    spec = core_pb2.PodSpec()
    container = spec.containers.add(name=NAME, image=IMAGE)
    container.ports.add(containerPort=PORT)
    if toleration_seconds is not None:
        for taint in UNREACHABLE_TAINTS:
            spec.tolerations.add(key=taint, operator="Exists", effect="NoExecute", tolerationSeconds=toleration_seconds)
    return spec


async def scale(client: Client, namespace: str, replicas: int) -> None:
    """Ask for so many pods."""
    current = await client.get_scale(REPLICATION_CONTROLLERS, NAME, namespace)
    current.spec.replicas = replicas
    await client.update_scale(REPLICATION_CONTROLLERS, NAME, namespace, current)


async def create_pod(client: Client, namespace: str, name: str) -> None:
    """Create one more hello pod, without a controller."""
    pod = core_pb2.Pod(spec=pod_spec())
    pod.metadata.name = name
    await client.create(pod, namespace)


async def addresses(client: Client, namespace: str) -> core_pb2.Service:
    """Read the service."""
    return await client.get(SERVICES, NAME, namespace)


async def remove(client: Client, namespace: str) -> None:
    """Delete the namespace and wait until it is gone with everything in it. Raises Timeout."""
    try:
        async with client.clock.timeout(REMOVE_SECONDS):
            await _removed(client, namespace)
    except TimeoutError as err:
        raise Timeout(
            f"namespace {namespace} is not gone after {REMOVE_SECONDS:g} s; see: kctl get pods -n {namespace}"
        ) from err


async def _removed(client: Client, namespace: str) -> None:
    selector = f"metadata.name={namespace}"
    try:
        await client.delete(NAMESPACES, namespace)
    except NotFound:
        return
    listed = await client.list(NAMESPACES, field_selector=selector)
    if not listed.items:
        return
    events = client.watch(NAMESPACES, resource_version=listed.resource_version, field_selector=selector)
    async with aclosing(events):
        async for event in events:
            if event.type is EventType.DELETED:
                return


async def bring_image(driver: ClusterDriver) -> list[str]:
    """See that every node has the image; gives the nodes where it had to be built. Raises ApiError."""
    built: list[str] = []
    for node in await driver.nodes():
        channel = await driver.runtime_channel(node.name)
        try:
            if not await _has_image(channel):
                await _build(channel)
                built.append(node.name)
        except grpc.aio.AioRpcError as rpc:
            raise translate(rpc) from rpc
        finally:
            await channel.close()
    return built


async def _has_image(channel: grpc.aio.Channel) -> bool:
    stub: Any = cri_grpc.ImageServiceStub(channel)
    request = cri.ImageStatusRequest(image=cri.ImageSpec(image=IMAGE))
    answer = await stub.ImageStatus(request, timeout=QUICK_SECONDS)
    return answer.HasField("image")


async def _build(channel: grpc.aio.Channel) -> None:
    stub: Any = images_pb2_grpc.ImageStoreStub(channel)
    requests = await asyncio.to_thread(_build_requests, bundled.folder("examples/tutorial/00000"))
    async for _ in stub.Build(requests, timeout=BUILD_SECONDS):
        pass


def _build_requests(folder: Path) -> list[images_pb2.BuildRequest]:
    """Return the messages of a build: the plan, then the folder's files as tar."""
    dockerfile = folder / "Dockerfile"
    plan = images_pb2.BuildRequest.Plan(
        dockerfile=dockerfile.read_text(encoding="utf-8"), dockerfile_path=str(dockerfile), tags=[IMAGE]
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            if path.is_file():
                archive.add(path, path.name)
    return [images_pb2.BuildRequest(plan=plan), images_pb2.BuildRequest(context_chunk=buffer.getvalue())]


async def kill_container(driver: ClusterDriver, node: str, namespace: str, pod: str) -> None:
    """End a pod's container by SIGKILL, as a crash does, without its kubelet. NotFound."""
    channel = await driver.runtime_channel(node)
    try:
        stub: Any = cri_grpc.RuntimeServiceStub(channel)
        labels = {"io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.name": pod}
        container_filter = cri.ContainerFilter(
            label_selector=labels, state=cri.ContainerStateValue(state=cri.ContainerState.CONTAINER_RUNNING)
        )
        listed = await stub.ListContainers(cri.ListContainersRequest(filter=container_filter), timeout=QUICK_SECONDS)
        if not listed.containers:
            raise NotFound(f"no running container of pod {namespace}/{pod} on {node}")
        for container in listed.containers:
            request = cri.StopContainerRequest(container_id=container.id, timeout=0)
            await stub.StopContainer(request, timeout=QUICK_SECONDS)
    except grpc.aio.AioRpcError as rpc:
        raise translate(rpc) from rpc
    finally:
        await channel.close()
