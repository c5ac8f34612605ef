"""A pod's logs, read through to its kubelet: the checks before, in upstream's words
(https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/strategy.go, LogLocation)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, logoptions, scheme
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.endpoints.handler import Context, RequestHandler
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.kubelet.v1 import kubelet_pb2

SERVICE = "kubelab.rpc.apiserver.v1.Pods"
LOG_SECONDS = 300.0  # for a log that is not followed

_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class PodsServicer:
    def __init__(self, gate: RequestHandler, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._gate, self._reader, self._kubelets = gate, reader, kubelets

    def add_to(self, server: Any) -> None:
        handler = grpc.unary_stream_rpc_method_handler(self.logs, pb.PodLogsRequest.FromString)
        handlers: dict[str, Any] = {"Logs": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    async def logs(self, request: pb.PodLogsRequest, context: Context) -> AsyncGenerator[bytes]:
        path = pb.ResourcePath(
            version="v1", resource="pods", namespace=request.namespace, name=request.name, subresource="log"
        )
        async with self._gate.admit(context, "get", path) as call:
            if causes := logoptions.validate(request.options):
                raise errors.invalid("PodLogOptions", path.name, causes)
            pod = core_pb2.Pod.FromString((await self._reader.entry(scheme.PODS, path.namespace, path.name)).raw)
            call.uid = pod.metadata.uid
            async for chunk in self._read(pod, request.options):  # a ContainerLogsChunk is encoded like a PodLogsChunk
                yield chunk

    async def _read(self, pod: core_pb2.Pod, asked: core_pb2.PodLogOptions) -> AsyncGenerator[bytes]:
        options = deep_copy(asked)
        options.container = choose_container(pod, asked.container)
        if not pod.spec.nodeName:
            return  # nobody has it yet, so nothing was written
        check_started(pod, options)
        entry = await self._reader.entry(scheme.NODES, "", pod.spec.nodeName)
        wanted = kubelet_pb2.ContainerLogsRequest(
            namespace=pod.metadata.namespace, pod=pod.metadata.name, pod_uid=pod.metadata.uid, options=options
        )
        chunks = self._kubelets.stream(
            core_pb2.Node.FromString(entry.raw),
            "ContainerLogs",
            wanted.SerializeToString(),
            None if options.follow else LOG_SECONDS,
        )
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()


def choose_container(pod: core_pb2.Pod, wanted: str) -> str:
    """The container whose log is meant; BadRequest when there are several, or none of that name."""
    names = [c.name for c in pod.spec.containers]
    pod_name = pod.metadata.name
    if not wanted:
        if len(names) == 1:
            return names[0]
        raise errors.BadRequest(
            f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
        )
    if wanted not in names:
        raise errors.BadRequest(f"container {wanted} is not valid for pod {pod_name}")
    return wanted


def check_started(pod: core_pb2.Pod, options: core_pb2.PodLogOptions) -> None:
    """BadRequest when the container has written nothing yet."""
    container, name = options.container, pod.metadata.name
    status = next((s for s in pod.status.containerStatuses if s.name == container), None)
    if status is None:
        if options.previous:
            raise errors.BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
        if is_terminal(pod):  # refused by its node, for one: it never had one
            raise errors.BadRequest(f'container "{container}" in pod "{name}" is not available')
        raise errors.BadRequest(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
    if options.previous:
        if not status.lastState.HasField("terminated"):
            raise errors.BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
        return
    state = status.state
    if state.HasField("running") or state.HasField("terminated") or status.lastState.HasField("terminated"):
        return
    reason = state.waiting.reason or "ContainerCreating"
    raise errors.BadRequest(
        f'container "{container}" in pod "{name}" is waiting to start: {_WAITING.get(reason, reason)}'
    )
