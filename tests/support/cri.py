"""A container runtime in memory, for tests: a real CRI server on a unix socket, whose containers are entries.

It keeps the rules that kubelets rely on: ids, attempts, states and their times, idempotent stops and removals, events
in order, NotFound for what is gone. A test decides what containers do: :meth:`FakeRuntime.exit`, ``stubborn``,
``fail``, ``images``, ``hold_pulls``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc


@dataclass(slots=True)
class FakeSandbox:
    id: str
    config: cri.PodSandboxConfig
    ip: str
    ready: bool = True
    created_at: int = 0


@dataclass(slots=True)
class FakeContainer:
    id: str
    sandbox_id: str
    config: cri.ContainerConfig
    log_path: str
    state: int = cri.CONTAINER_CREATED
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""

    @property
    def name(self) -> str:
        return self.config.metadata.name


@dataclass(slots=True)
class _Fault:
    method: str
    code: grpc.StatusCode
    details: str
    times: int


@dataclass(eq=False)
class FakeRuntime(cri_grpc.RuntimeServiceServicer, cri_grpc.ImageServiceServicer):
    """See the module. ``now`` gives nanoseconds; ``events=False`` is a runtime without GetContainerEvents."""

    events: bool = True
    compact: bool = True
    """PodSandboxStatus answers with the containers too, as runtimes with events do."""
    now: Callable[[], int] = time.time_ns
    network_ready: bool = True
    user_namespaces: bool = False
    images: dict[str, int] = field(default_factory=dict[str, int])
    registry: dict[str, int] = field(default_factory=dict[str, int])
    stubborn: set[str] = field(default_factory=set[str])
    """Containers by name that do not end when asked to; a stop with a grace below one second kills them."""
    hold_pulls: asyncio.Event | None = None
    pod_cidr: str = ""
    calls: list[tuple[str, Message]] = field(default_factory=list[tuple[str, Message]])
    sandboxes: dict[str, FakeSandbox] = field(default_factory=dict[str, FakeSandbox])
    containers: dict[str, FakeContainer] = field(default_factory=dict[str, FakeContainer])

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._faults: list[_Fault] = []
        self._listeners: set[asyncio.Queue[cri.ContainerEventResponse]] = set()
        self._waiters: set[asyncio.Future[None]] = set()

    # --- for tests

    @contextlib.asynccontextmanager
    async def serving(self, socket: Path) -> AsyncGenerator[None]:
        """Listen on the socket until the body ends; what runs stays, as with a runtime that is restarted."""
        server = grpc.aio.server()
        cri_grpc.add_RuntimeServiceServicer_to_server(self, server)
        cri_grpc.add_ImageServiceServicer_to_server(self, server)
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)
            self._listeners.clear()

    def fail(self, method: str, details: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN, times: int = 1) -> None:
        """Answer the next calls of a method with an error."""
        self._faults.append(_Fault(method, code, details, times))

    def calls_of(self, method: str) -> list[Any]:
        return [request for called, request in self.calls if called == method]

    def running(self, pod: str = "", name: str = "") -> list[FakeContainer]:
        """The containers that run, of one pod, of one name."""
        return [
            c
            for c in self.containers.values()
            if c.state == cri.CONTAINER_RUNNING
            and (not pod or c.config.labels["io.kubernetes.pod.name"] == pod)
            and (not name or c.name == name)
        ]

    def exit(self, name: str, code: int = 0) -> None:
        """Let the running containers of that name end."""
        for container in self.running(name=name):
            self._end(container, code)

    def kill_sandbox(self, sandbox_id: str) -> None:
        """Let what keeps a pod's namespaces die, and its containers with it."""
        self.sandboxes[sandbox_id].ready = False
        for container in [c for c in self.running() if c.sandbox_id == sandbox_id]:
            self._end(container, 137)
        self._tell(sandbox_id, sandbox_id, cri.CONTAINER_STOPPED_EVENT)

    def log(self, name: str, text: str, stream: str = "stdout", tag: str = "F") -> None:
        """Write a line as the running container of that name would."""
        for container in self.running(name=name):
            path = Path(container.log_path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(f"2026-01-01T00:00:00.000000000Z {stream} {tag} {text}\n")

    async def until(self, condition: Callable[[], object], *, seconds: float = 10.0) -> None:
        """Wait until ``condition()`` holds; it is asked after every call and every event."""
        async with asyncio.timeout(seconds):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    async with asyncio.timeout(0.02):  # other things than this runtime may make it true
                        await waiter
                except TimeoutError:
                    continue
                finally:
                    self._waiters.discard(waiter)

    # --- the runtime service

    async def Version(self, request: cri.VersionRequest, context: Any) -> cri.VersionResponse:
        await self._admit("Version", request, context)
        return cri.VersionResponse(
            version="0.1.0", runtime_name="fake", runtime_version="1.0", runtime_api_version="v1"
        )

    async def Status(self, request: cri.StatusRequest, context: Any) -> cri.StatusResponse:
        await self._admit("Status", request, context)
        network = cri.RuntimeCondition(type="NetworkReady", status=self.network_ready)
        if not self.network_ready:
            network.reason, network.message = "NetworkPluginNotReady", "no pod CIDR yet"
        ready = cri.RuntimeCondition(type="RuntimeReady", status=True)
        handler = cri.RuntimeHandler(features=cri.RuntimeHandlerFeatures(user_namespaces=self.user_namespaces))
        conditions = cri.RuntimeStatus(conditions=[ready, network])
        return cri.StatusResponse(status=conditions, runtime_handlers=[handler])

    async def UpdateRuntimeConfig(
        self, request: cri.UpdateRuntimeConfigRequest, context: Any
    ) -> cri.UpdateRuntimeConfigResponse:
        await self._admit("UpdateRuntimeConfig", request, context)
        self.pod_cidr = request.runtime_config.network_config.pod_cidr
        self.network_ready = True
        return cri.UpdateRuntimeConfigResponse()

    async def RunPodSandbox(self, request: cri.RunPodSandboxRequest, context: Any) -> cri.RunPodSandboxResponse:
        await self._admit("RunPodSandbox", request, context)
        number = next(self._ids)
        node_network = request.config.linux.security_context.namespace_options.network == cri.NODE
        ip = "" if node_network else f"10.244.1.{number % 250 + 2}"
        sandbox = FakeSandbox(f"sandbox-{number}", request.config, ip, created_at=self.now())
        self.sandboxes[sandbox.id] = sandbox
        self._tell(sandbox.id, sandbox.id, cri.CONTAINER_CREATED_EVENT)
        self._tell(sandbox.id, sandbox.id, cri.CONTAINER_STARTED_EVENT)
        return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)

    async def StopPodSandbox(self, request: cri.StopPodSandboxRequest, context: Any) -> cri.StopPodSandboxResponse:
        await self._admit("StopPodSandbox", request, context)
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is not None and sandbox.ready:
            self.kill_sandbox(sandbox.id)
        return cri.StopPodSandboxResponse()

    async def RemovePodSandbox(
        self, request: cri.RemovePodSandboxRequest, context: Any
    ) -> cri.RemovePodSandboxResponse:
        await self._admit("RemovePodSandbox", request, context)
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is not None:
            for container in [c for c in self.containers.values() if c.sandbox_id == sandbox.id]:
                del self.containers[container.id]
            self._tell(sandbox.id, sandbox.id, cri.CONTAINER_DELETED_EVENT)
            del self.sandboxes[sandbox.id]
        return cri.RemovePodSandboxResponse()

    async def PodSandboxStatus(
        self, request: cri.PodSandboxStatusRequest, context: Any
    ) -> cri.PodSandboxStatusResponse:
        await self._admit("PodSandboxStatus", request, context)
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"sandbox {request.pod_sandbox_id} not found")
        assert sandbox is not None
        answer = cri.PodSandboxStatusResponse(status=self._sandbox_status(sandbox))
        if self.compact:
            answer.timestamp = self.now()
            answer.containers_statuses.extend(
                self._status(c) for c in self.containers.values() if c.sandbox_id == sandbox.id
            )
        return answer

    async def ListPodSandbox(self, request: cri.ListPodSandboxRequest, context: Any) -> cri.ListPodSandboxResponse:
        await self._admit("ListPodSandbox", request, context)
        selector = request.filter.label_selector.items()
        items = [
            cri.PodSandbox(
                id=s.id,
                metadata=s.config.metadata,
                state=cri.SANDBOX_READY if s.ready else cri.SANDBOX_NOTREADY,
                created_at=s.created_at,
                labels=dict(s.config.labels),
            )
            for s in self.sandboxes.values()
            if all(s.config.labels.get(k) == v for k, v in selector)
        ]
        return cri.ListPodSandboxResponse(items=items)

    async def CreateContainer(self, request: cri.CreateContainerRequest, context: Any) -> cri.CreateContainerResponse:
        await self._admit("CreateContainer", request, context)
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is None or not sandbox.ready:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"sandbox {request.pod_sandbox_id} not found")
        path = Path(request.sandbox_config.log_directory) / request.config.log_path
        container = FakeContainer(
            f"container-{next(self._ids)}", request.pod_sandbox_id, request.config, str(path), created_at=self.now()
        )
        self.containers[container.id] = container
        self._tell(container.sandbox_id, container.id, cri.CONTAINER_CREATED_EVENT)
        return cri.CreateContainerResponse(container_id=container.id)

    async def StartContainer(self, request: cri.StartContainerRequest, context: Any) -> cri.StartContainerResponse:
        await self._admit("StartContainer", request, context)
        container = await self._find(request.container_id, context)
        container.state, container.started_at = cri.CONTAINER_RUNNING, self.now()
        self._tell(container.sandbox_id, container.id, cri.CONTAINER_STARTED_EVENT)
        return cri.StartContainerResponse()

    async def StopContainer(self, request: cri.StopContainerRequest, context: Any) -> cri.StopContainerResponse:
        await self._admit("StopContainer", request, context)
        container = self.containers.get(request.container_id)
        if container is None or container.state != cri.CONTAINER_RUNNING:
            return cri.StopContainerResponse()
        if container.name in self.stubborn and request.timeout >= 1:
            await self.until(lambda: container.state != cri.CONTAINER_RUNNING, seconds=float(request.timeout) + 1)
        elif container.name in self.stubborn:
            self._end(container, 137)
        else:
            self._end(container, 143)
        return cri.StopContainerResponse()

    async def RemoveContainer(self, request: cri.RemoveContainerRequest, context: Any) -> cri.RemoveContainerResponse:
        await self._admit("RemoveContainer", request, context)
        container = self.containers.get(request.container_id)
        if container is not None:
            if container.state == cri.CONTAINER_RUNNING:
                self._end(container, 137)
            del self.containers[container.id]
            self._tell(container.sandbox_id, container.id, cri.CONTAINER_DELETED_EVENT)
        return cri.RemoveContainerResponse()

    async def ListContainers(self, request: cri.ListContainersRequest, context: Any) -> cri.ListContainersResponse:
        await self._admit("ListContainers", request, context)
        selector = request.filter.label_selector.items()
        matches = [
            cri.Container(
                id=c.id,
                pod_sandbox_id=c.sandbox_id,
                metadata=c.config.metadata,
                image=c.config.image,
                state=self._status(c).state,
                created_at=c.created_at,
                labels=dict(c.config.labels),
            )
            for c in self.containers.values()
            if all(c.config.labels.get(k) == v for k, v in selector)
        ]
        return cri.ListContainersResponse(containers=matches)

    async def ContainerStatus(self, request: cri.ContainerStatusRequest, context: Any) -> cri.ContainerStatusResponse:
        await self._admit("ContainerStatus", request, context)
        return cri.ContainerStatusResponse(status=self._status(await self._find(request.container_id, context)))

    async def GetContainerEvents(
        self, request: cri.GetEventsRequest, context: Any
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        await self._admit("GetContainerEvents", request, context)
        if not self.events:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method GetContainerEvents")
        queue: asyncio.Queue[cri.ContainerEventResponse] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def ReopenContainerLog(
        self, request: cri.ReopenContainerLogRequest, context: Any
    ) -> cri.ReopenContainerLogResponse:
        await self._admit("ReopenContainerLog", request, context)
        return cri.ReopenContainerLogResponse()

    async def ExecSync(self, request: cri.ExecSyncRequest, context: Any) -> cri.ExecSyncResponse:
        await self._admit("ExecSync", request, context)
        return cri.ExecSyncResponse()

    async def Exec(self, request: cri.ExecRequest, context: Any) -> cri.ExecResponse:
        await self._admit("Exec", request, context)
        return cri.ExecResponse()  # nowhere, as below

    async def Attach(self, request: cri.AttachRequest, context: Any) -> cri.AttachResponse:
        await self._admit("Attach", request, context)
        return cri.AttachResponse()

    async def PortForward(self, request: cri.PortForwardRequest, context: Any) -> cri.PortForwardResponse:
        await self._admit("PortForward", request, context)
        return cri.PortForwardResponse()  # nowhere: none of its containers listens

    # --- the image service

    async def ListImages(self, request: cri.ListImagesRequest, context: Any) -> cri.ListImagesResponse:
        await self._admit("ListImages", request, context)
        return cri.ListImagesResponse(images=[_image(name, size) for name, size in self.images.items()])

    async def ImageStatus(self, request: cri.ImageStatusRequest, context: Any) -> cri.ImageStatusResponse:
        await self._admit("ImageStatus", request, context)
        name = request.image.image
        return cri.ImageStatusResponse(image=_image(name, self.images[name]) if name in self.images else None)

    async def PullImage(self, request: cri.PullImageRequest, context: Any) -> cri.PullImageResponse:
        await self._admit("PullImage", request, context)
        if self.hold_pulls is not None:
            await self.hold_pulls.wait()
        name = request.image.image
        if name not in self.registry:
            await context.abort(grpc.StatusCode.NOT_FOUND, f'failed to pull and unpack image "{name}": not found')
        self.images[name] = self.registry[name]
        return cri.PullImageResponse(image_ref=f"sha256:{name}")

    async def RemoveImage(self, request: cri.RemoveImageRequest, context: Any) -> cri.RemoveImageResponse:
        await self._admit("RemoveImage", request, context)
        self.images.pop(request.image.image, None)
        return cri.RemoveImageResponse()

    async def ImageFsInfo(self, request: cri.ImageFsInfoRequest, context: Any) -> cri.ImageFsInfoResponse:
        await self._admit("ImageFsInfo", request, context)
        used = cri.UInt64Value(value=sum(self.images.values()))
        return cri.ImageFsInfoResponse(image_filesystems=[cri.FilesystemUsage(used_bytes=used)])

    # --- inside

    async def _admit(self, method: str, request: Message, context: Any) -> None:
        self.calls.append((method, request))
        self._notify()
        for fault in self._faults:
            if fault.method == method:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                await context.abort(fault.code, fault.details)

    async def _find(self, container_id: str, context: Any) -> FakeContainer:
        container = self.containers.get(container_id)
        if container is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"container {container_id} not found")
        assert container is not None
        return container

    def _end(self, container: FakeContainer, code: int) -> None:
        container.state, container.exit_code, container.finished_at = cri.CONTAINER_EXITED, code, self.now()
        container.reason = "Completed" if code == 0 else "Error"
        self._tell(container.sandbox_id, container.id, cri.CONTAINER_STOPPED_EVENT)

    def _tell(self, sandbox_id: str, container_id: str, kind: Any) -> None:
        sandbox = self.sandboxes.get(sandbox_id)
        event = cri.ContainerEventResponse(container_id=container_id, container_event_type=kind, created_at=self.now())
        if sandbox is not None:
            event.pod_sandbox_status.CopyFrom(self._sandbox_status(sandbox))
            event.containers_statuses.extend(
                self._status(c) for c in self.containers.values() if c.sandbox_id == sandbox_id
            )
        for listener in self._listeners:
            listener.put_nowait(event)
        self._notify()

    def _sandbox_status(self, sandbox: FakeSandbox) -> cri.PodSandboxStatus:
        status = cri.PodSandboxStatus(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            state=cri.SANDBOX_READY if sandbox.ready else cri.SANDBOX_NOTREADY,
            created_at=sandbox.created_at,
            network=cri.PodSandboxNetworkStatus(ip=sandbox.ip),
            labels=dict(sandbox.config.labels),
            annotations=dict(sandbox.config.annotations),
        )
        options = sandbox.config.linux.security_context.namespace_options
        status.linux.namespaces.options.CopyFrom(options)
        return status

    def _status(self, c: FakeContainer) -> cri.ContainerStatus:
        status = cri.ContainerStatus(
            id=c.id,
            metadata=c.config.metadata,
            created_at=c.created_at,
            started_at=c.started_at,
            finished_at=c.finished_at,
            exit_code=c.exit_code,
            image=c.config.image,
            image_ref=f"sha256:{c.config.image.image}",
            reason=c.reason,
            labels=dict(c.config.labels),
            annotations=dict(c.config.annotations),
            mounts=c.config.mounts,
            log_path=c.log_path,
        )
        status.state = c.state  # type: ignore[assignment]
        return status

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _image(name: str, size: int) -> cri.Image:
    return cri.Image(id=f"sha256:{name}", repo_tags=[name], size=size, spec=cri.ImageSpec(image=name))
