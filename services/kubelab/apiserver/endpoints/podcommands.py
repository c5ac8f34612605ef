"""Commands in pods, run through their kubelets: the exec and attach subresources, without a transport of their own
(https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/strategy.go, ExecLocation)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.endpoints.podlogs import choose_container
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.request import Request
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.rpc.remotecommand import RemoteCommand

MAX_DETAIL = 1000  # characters of a command in an audit record


class PodCommands:
    """The exec and attach subresources of pods. A front frames the command: it sends to it what its caller sends, and
    passes on what it receives, up to the command's status. When the body ends before, the command is killed."""

    def __init__(self, handler: RequestHandler, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._handler, self._reader, self._kubelets = handler, reader, kubelets

    @contextlib.asynccontextmanager
    async def exec(self, request: Request, options: core_pb2.PodExecOptions) -> AsyncGenerator[RemoteCommand]:
        """Run a command in the pod that a request names. Raises what is wrong with the request, and what the kubelet
        says where the command cannot be started."""
        async with self._handler.handling(request):
            node, pod = await self._find(request, options)
            if not options.command:
                raise errors.BadRequest("you must specify at least one command for the container")
            request.detail = f"{options.container}: {' '.join(options.command)}"[:MAX_DETAIL]
            m = pod.metadata
            first = kubelet_pb2.ExecRequest(namespace=m.namespace, pod=m.name, pod_uid=m.uid, options=options)
            command = await self._kubelets.run(node, "Exec", first)
            try:
                yield command
            finally:
                await command.close()

    @contextlib.asynccontextmanager
    async def attach(self, request: Request, options: core_pb2.PodAttachOptions) -> AsyncGenerator[RemoteCommand]:
        """Attach to a container of the pod that a request names; its process goes on when the body ends."""
        async with self._handler.handling(request):
            node, pod = await self._find(request, options)
            request.detail = options.container
            m = pod.metadata
            first = kubelet_pb2.AttachRequest(namespace=m.namespace, pod=m.name, pod_uid=m.uid, options=options)
            command = await self._kubelets.run(node, "Attach", first)
            try:
                yield command
            finally:
                await command.close()

    async def _find(
        self, request: Request, options: core_pb2.PodExecOptions | core_pb2.PodAttachOptions
    ) -> tuple[core_pb2.Node, core_pb2.Pod]:
        """Find the pod and its node, and settle the options. BadRequest, NotFound."""
        entry = await self._reader.entry(scheme.PODS, request.namespace, request.name)
        pod = core_pb2.Pod.FromString(entry.raw)
        request.uid = pod.metadata.uid
        options.container = choose_container(pod, options.container)
        if options.tty:
            options.stderr = False  # a terminal has one output
        if not (options.stdin or options.stdout or options.stderr):
            raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        if not pod.spec.nodeName:
            raise errors.BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
        node = await self._reader.entry(scheme.NODES, "", pod.spec.nodeName)
        return core_pb2.Node.FromString(node.raw), pod
