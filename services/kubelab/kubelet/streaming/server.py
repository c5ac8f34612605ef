"""What an api-server asks of this kubelet: logs of containers, commands in them, ports of pods, and the record of its
CRI calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, logoptions
from kubelab.apimachinery.clock import Clock
from kubelab.kubelet.containers.config import log_file
from kubelab.kubelet.cri.records import CallRecords
from kubelab.kubelet.cri.views import ContainerView, PodView, State
from kubelab.kubelet.logs.follow import read_log
from kubelab.kubelet.logs.reader import LogQuery
from kubelab.kubelet.pods.manager import PodManager
from kubelab.kubelet.pods.state import PodState
from kubelab.kubelet.streaming.commands import Commands
from kubelab.kubelet.streaming.pages import Pages
from kubelab.kubelet.streaming.portforward import PortForwarder
from kubelab.rpc.apiserver.v1 import apiserver_pb2
from kubelab.rpc.kubelet.v1 import kubelet_pb2, kubelet_pb2_grpc


@dataclass(frozen=True, slots=True)
class KubeletServicer(kubelet_pb2_grpc.KubeletServicer):
    """Check, call, convert; nothing is decided here."""

    manager: PodManager
    records: CallRecords
    clock: Clock
    log_root: Path
    commands: Commands
    port_forwarder: PortForwarder
    pages: Pages

    async def ReadPath(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request: kubelet_pb2.ReadPathRequest,
        context: grpc.aio.ServicerContext[kubelet_pb2.ReadPathRequest, kubelet_pb2.ReadPathResponse],
    ) -> kubelet_pb2.ReadPathResponse:
        page = await self.pages.get(request.path)
        return kubelet_pb2.ReadPathResponse(code=page.code, content_type=page.content_type, body=page.body)

    async def Exec(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request_iterator: AsyncIterator[kubelet_pb2.ExecRequest],
        context: grpc.aio.ServicerContext[kubelet_pb2.ExecRequest, apiserver_pb2.CommandOutput],
    ) -> None:
        await self.commands.exec(request_iterator, context)

    async def Attach(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request_iterator: AsyncIterator[kubelet_pb2.AttachRequest],
        context: grpc.aio.ServicerContext[kubelet_pb2.AttachRequest, apiserver_pb2.CommandOutput],
    ) -> None:
        await self.commands.attach(request_iterator, context)

    async def PortForward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request_iterator: AsyncIterator[kubelet_pb2.PortForwardRequest],
        context: grpc.aio.ServicerContext[kubelet_pb2.PortForwardRequest, apiserver_pb2.PodPortForwardResponse],
    ) -> None:
        await self.port_forwarder.forward(request_iterator, context)

    async def ContainerLogs(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request: kubelet_pb2.ContainerLogsRequest,
        context: grpc.aio.ServicerContext[kubelet_pb2.ContainerLogsRequest, kubelet_pb2.ContainerLogsChunk],
    ) -> AsyncIterator[kubelet_pb2.ContainerLogsChunk]:
        async for data in self.logs(request):
            yield kubelet_pb2.ContainerLogsChunk(data=data)

    async def CallRecords(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request: kubelet_pb2.CallRecordsRequest,
        context: grpc.aio.ServicerContext[kubelet_pb2.CallRecordsRequest, apiserver_pb2.AuditRecord],
    ) -> AsyncIterator[apiserver_pb2.AuditRecord]:
        for record in self.records.of(request.pod_uid):
            yield record

    async def logs(self, request: kubelet_pb2.ContainerLogsRequest) -> AsyncGenerator[bytes]:
        """Give the log of one attempt of one container. Raises NotFound, BadRequest, Invalid."""
        if causes := logoptions.validate(request.options):
            raise errors.invalid("PodLogOptions", request.pod, causes)
        worker = self.manager.find(request.namespace, request.pod, request.pod_uid)
        if worker is None or worker.state.pod is None:
            raise errors.not_found("pods", request.pod)
        state = worker.state
        name = container_name(state.pod or core_pb2.Pod(), request.options.container)
        attempt = choose_attempt(state, name, previous=request.options.previous)
        path = str(log_file(self.log_root, state.view, attempt))
        query = LogQuery.of(request.options, self.clock.time())

        def ended() -> bool:
            return has_ended(state.view, attempt.id)

        changes = self.manager.changes(state.ref.uid) if query.follow else None
        try:
            async for data in read_log(path, query, clock=self.clock, ended=ended, end=changes):
                yield data
        except FileNotFoundError as err:
            raise errors.NotFound(f"failed to try resolving symlinks in path {path!r}: no such file") from err


def container_name(pod: core_pb2.Pod, name: str) -> str:
    """Give the container that is meant; upstream's words where it is not clear."""
    names = [c.name for c in pod.spec.containers]
    if name in names:
        return name
    if name:
        raise errors.BadRequest(f"container {name} is not valid for pod {pod.metadata.name}")
    if len(names) == 1:
        return names[0]
    raise errors.BadRequest(
        f"a container name must be specified for pod {pod.metadata.name}, choose one of: [{' '.join(names)}]"
    )


def choose_attempt(state: PodState, name: str, *, previous: bool) -> ContainerView:
    """Choose the attempt whose log is meant; BadRequest or NotFound in upstream's words where there is none."""
    pod_name = state.ref.name
    attempts = [c for c in state.view.attempts(name) if c.state is not State.CREATED]
    if previous:
        earlier = attempts if _waits(state, name) else attempts[1:]
        if not earlier:
            raise errors.BadRequest(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        return earlier[0]
    if attempts:
        return attempts[0]
    status = next((s for s in state.status.containerStatuses if s.name == name), None)
    if status is None:
        raise errors.BadRequest(f'container "{name}" in pod "{pod_name}" is not available')
    if status.state.HasField("terminated"):
        ended = status.state.terminated.containerID
        raise errors.NotFound(
            f"unable to retrieve container logs for {ended}"
            if ended
            else f'container "{name}" in pod "{pod_name}" is terminated'
        )
    reason = status.state.waiting.reason
    why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}.get(reason)
    raise errors.BadRequest(
        f'container "{name}" in pod "{pod_name}" is waiting to start: {why or reason or "ContainerCreating"}'
    )


def _waits(state: PodState, name: str) -> bool:
    """Whether the container is between two attempts: the one that ended is then the previous one."""
    return any(s.name == name and s.state.HasField("waiting") for s in state.status.containerStatuses)


def has_ended(view: PodView, container_id: str) -> bool:
    """Say whether an attempt writes no more: it ended, or it is gone."""
    container = next((c for c in view.containers if c.id == container_id), None)
    return container is None or container.state is State.EXITED
