"""The CRI over gRPC: check, call, convert (https://kubernetes.io/docs/concepts/architecture/cri/)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.version import VERSION
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.images.service import Images
from kubelab.runtime.pods.engine import Engine
from kubelab.runtime.streaming.portforward import PortForwards
from kubelab.runtime.streaming.remotecommands import RemoteCommands

NAME = "kubelab-runtime"
LIMITS_ENFORCED = "LimitsEnforced"
Context = grpc.aio.ServicerContext[Any, Any]


def _matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _limits_enforced(offer: Offer) -> cri.RuntimeCondition:
    """Whether the machine's control groups keep a container within its limits, and why not."""
    whys = dict[str, list[str]]()
    for controller, why in offer.missing.items():
        whys.setdefault(why, []).append(controller)
    if not whys:
        versions = " and ".join(sorted({f"v{tree.version}" for tree in offer.trees}))
        message = f"limits of cpu, memory and pids are enforced by control groups {versions}"
        return cri.RuntimeCondition(type=LIMITS_ENFORCED, status=True, reason="ControlGroupsUsable", message=message)
    message = "; ".join(f"limits of {', '.join(names)} are not enforced: {why}" for why, names in whys.items())
    return cri.RuntimeCondition(type=LIMITS_ENFORCED, reason="NoUsableControlGroups", message=message)


class RuntimeServicer(api_pb2_grpc.RuntimeServiceServicer):
    def __init__(self, engine: Engine, commands: RemoteCommands, port_forwards: PortForwards) -> None:
        self._engine, self._commands, self._port_forwards = engine, commands, port_forwards

    async def Version(self, request: cri.VersionRequest, context: Context) -> cri.VersionResponse:
        return cri.VersionResponse(
            version="0.1.0", runtime_name=NAME, runtime_version=VERSION, runtime_api_version="v1"
        )

    async def Status(self, request: cri.StatusRequest, context: Context) -> cri.StatusResponse:
        network = bool(self._engine.network.pod_cidr)
        conditions = [
            cri.RuntimeCondition(type="RuntimeReady", status=True),
            cri.RuntimeCondition(
                type="NetworkReady",
                status=network,
                reason="" if network else "NetworkPluginNotReady",
                message="" if network else "the node has no pod CIDR yet",
            ),
            _limits_enforced(self._engine.cgroups),
        ]
        features = cri.RuntimeHandlerFeatures(user_namespaces=not self._engine.no_userns)
        return cri.StatusResponse(
            status=cri.RuntimeStatus(conditions=conditions), runtime_handlers=[cri.RuntimeHandler(features=features)]
        )

    async def UpdateRuntimeConfig(
        self, request: cri.UpdateRuntimeConfigRequest, context: Context
    ) -> cri.UpdateRuntimeConfigResponse:
        cidr = request.runtime_config.network_config.pod_cidr
        await self._engine.uninterruptible(self._engine.network.set_pod_cidr(cidr))
        return cri.UpdateRuntimeConfigResponse()

    async def RunPodSandbox(self, request: cri.RunPodSandboxRequest, context: Context) -> cri.RunPodSandboxResponse:
        name = await self._engine.uninterruptible(self._engine.sandboxes.run(request.config))
        return cri.RunPodSandboxResponse(pod_sandbox_id=name)

    async def StopPodSandbox(self, request: cri.StopPodSandboxRequest, context: Context) -> cri.StopPodSandboxResponse:
        await self._engine.uninterruptible(self._engine.sandboxes.stop(request.pod_sandbox_id))
        return cri.StopPodSandboxResponse()

    async def RemovePodSandbox(
        self, request: cri.RemovePodSandboxRequest, context: Context
    ) -> cri.RemovePodSandboxResponse:
        await self._engine.uninterruptible(self._engine.sandboxes.remove(request.pod_sandbox_id))
        return cri.RemovePodSandboxResponse()

    async def PodSandboxStatus(
        self, request: cri.PodSandboxStatusRequest, context: Context
    ) -> cri.PodSandboxStatusResponse:
        status, containers, now = self._engine.sandboxes.status(request.pod_sandbox_id)
        return cri.PodSandboxStatusResponse(status=status, containers_statuses=containers, timestamp=now)

    async def ListPodSandbox(self, request: cri.ListPodSandboxRequest, context: Context) -> cri.ListPodSandboxResponse:
        selected = request.filter
        summaries = [sandbox.summary() for sandbox in self._engine.inventory.sandboxes.values()]
        return cri.ListPodSandboxResponse(
            items=[
                item
                for item in summaries
                if item.id.startswith(selected.id)
                and (not selected.HasField("state") or item.state == selected.state.state)
                and _matches(item.labels, selected.label_selector)
            ]
        )

    async def CreateContainer(
        self, request: cri.CreateContainerRequest, context: Context
    ) -> cri.CreateContainerResponse:
        name = await self._engine.uninterruptible(
            self._engine.containers.create(request.pod_sandbox_id, request.config)
        )
        return cri.CreateContainerResponse(container_id=name)

    async def StartContainer(self, request: cri.StartContainerRequest, context: Context) -> cri.StartContainerResponse:
        await self._engine.uninterruptible(self._engine.containers.start(request.container_id))
        return cri.StartContainerResponse()

    async def StopContainer(self, request: cri.StopContainerRequest, context: Context) -> cri.StopContainerResponse:
        await self._engine.uninterruptible(self._engine.containers.stop(request.container_id, float(request.timeout)))
        return cri.StopContainerResponse()

    async def RemoveContainer(
        self, request: cri.RemoveContainerRequest, context: Context
    ) -> cri.RemoveContainerResponse:
        await self._engine.uninterruptible(self._engine.containers.remove(request.container_id))
        return cri.RemoveContainerResponse()

    async def ListContainers(self, request: cri.ListContainersRequest, context: Context) -> cri.ListContainersResponse:
        selected = request.filter
        summaries = [container.summary() for container in self._engine.inventory.containers.values()]
        return cri.ListContainersResponse(
            containers=[
                item
                for item in summaries
                if item.id.startswith(selected.id)
                and selected.pod_sandbox_id in ("", item.pod_sandbox_id)
                and (not selected.HasField("state") or item.state == selected.state.state)
                and _matches(item.labels, selected.label_selector)
            ]
        )

    async def ContainerStatus(
        self, request: cri.ContainerStatusRequest, context: Context
    ) -> cri.ContainerStatusResponse:
        return cri.ContainerStatusResponse(status=self._engine.inventory.container(request.container_id).status())

    async def ReopenContainerLog(
        self, request: cri.ReopenContainerLogRequest, context: Context
    ) -> cri.ReopenContainerLogResponse:
        self._engine.containers.reopen_log(request.container_id)
        return cri.ReopenContainerLogResponse()

    async def ExecSync(self, request: cri.ExecSyncRequest, context: Context) -> cri.ExecSyncResponse:
        done = await self._engine.containers.exec_sync(request.container_id, list(request.cmd), request.timeout)
        return cri.ExecSyncResponse(stdout=done.stdout, stderr=done.stderr, exit_code=done.exit_code)

    async def Exec(self, request: cri.ExecRequest, context: Context) -> cri.ExecResponse:
        return cri.ExecResponse(url=self._commands.exec(request))

    async def Attach(self, request: cri.AttachRequest, context: Context) -> cri.AttachResponse:
        return cri.AttachResponse(url=self._commands.attach(request))

    async def PortForward(self, request: cri.PortForwardRequest, context: Context) -> cri.PortForwardResponse:
        return cri.PortForwardResponse(url=self._port_forwards.offer(request.pod_sandbox_id))

    async def GetContainerEvents(
        self, request: cri.GetEventsRequest, context: Context
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        with self._engine.inventory.events.listening() as events:
            await context.send_initial_metadata(())  # a client that has received this misses no event after it
            async for event in events:
                yield event


class ImageServicer(api_pb2_grpc.ImageServiceServicer):
    def __init__(self, images: Images, clock: Clock) -> None:
        self._images, self._clock = images, clock

    async def ListImages(self, request: cri.ListImagesRequest, context: Context) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images=await self._images.list(request.filter.image.image))

    async def ImageStatus(self, request: cri.ImageStatusRequest, context: Context) -> cri.ImageStatusResponse:
        return cri.ImageStatusResponse(image=self._images.status(request.image.image))

    async def PullImage(self, request: cri.PullImageRequest, context: Context) -> cri.PullImageResponse:
        return cri.PullImageResponse(image_ref=await self._images.pull(request.image.image, request.auth))

    async def RemoveImage(self, request: cri.RemoveImageRequest, context: Context) -> cri.RemoveImageResponse:
        await self._images.remove(request.image.image)
        return cri.RemoveImageResponse()

    async def ImageFsInfo(self, request: cri.ImageFsInfoRequest, context: Context) -> cri.ImageFsInfoResponse:
        root, used = await self._images.used()
        return cri.ImageFsInfoResponse(
            image_filesystems=[
                cri.FilesystemUsage(
                    timestamp=int(self._clock.time() * 1e9),
                    fs_id=cri.FilesystemIdentifier(mountpoint=root),
                    used_bytes=cri.UInt64Value(value=used),
                )
            ]
        )
