"""A pod's logs, read through to its kubelet: the checks before, in upstream's words
(https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/strategy.go, LogLocation)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, logoptions, scheme
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.request import Request
from kubelab.rpc.kubelet.v1 import kubelet_pb2

LOG_SECONDS = 300.0  # for a log that is not followed

_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class PodLogs:
    """The log subresource of pods."""

    def __init__(self, handler: RequestHandler, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._handler, self._reader, self._kubelets = handler, reader, kubelets

    async def read(
        self, request: Request, options: core_pb2.PodLogOptions, *, announce: bool = False
    ) -> AsyncGenerator[bytes]:
        """Encoded ``ContainerLogsChunk`` messages, as the kubelet sends them.

        With ``announce`` an empty one comes first, as soon as the request is let in: a followed log may be silent."""
        async with self._handler.handling(request):
            if causes := logoptions.validate(options):
                raise errors.invalid("PodLogOptions", request.name, causes)
            entry = await self._reader.entry(scheme.PODS, request.namespace, request.name)
            pod = core_pb2.Pod.FromString(entry.raw)
            request.uid = pod.metadata.uid
            chunks = self._from_kubelet(pod, options, announce)
            try:
                async for chunk in chunks:
                    yield chunk
            finally:
                await chunks.aclose()

    async def _from_kubelet(
        self, pod: core_pb2.Pod, requested: core_pb2.PodLogOptions, announce: bool
    ) -> AsyncGenerator[bytes]:
        options = deep_copy(requested)
        options.container = choose_container(pod, requested.container)
        if not pod.spec.nodeName:
            return  # no node runs it yet, so nothing was written
        check_started(pod, options)
        if announce:
            yield b""
        entry = await self._reader.entry(scheme.NODES, "", pod.spec.nodeName)
        question = kubelet_pb2.ContainerLogsRequest(
            namespace=pod.metadata.namespace, pod=pod.metadata.name, pod_uid=pod.metadata.uid, options=options
        )
        chunks = self._kubelets.stream(
            core_pb2.Node.FromString(entry.raw),
            "ContainerLogs",
            question.SerializeToString(),
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
