"""Ports of pods, forwarded through their kubelets: the portforward subresource, without a transport of its own
(https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/strategy.go, PortForwardLocation)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.request import Request
from kubelab.rpc.portforward import CalledForward
from kubelab.streams.duplex import Duplex, ForwardError


class PodPorts:
    """The ports of one pod, for as long as a request lasts."""

    def __init__(self, kubelets: Kubelets, node: core_pb2.Node, pod: core_pb2.Pod) -> None:
        self._kubelets, self._node, self._pod = kubelets, node, pod

    async def connect(self, port: int) -> Duplex:
        """Connect to a port. ForwardError."""
        try:
            return await self._call(port)
        except errors.ApiError as err:
            m = self._pod.metadata
            raise ForwardError(f"error forwarding port {port} to pod {m.name}, uid {m.uid}: {err.message}") from err

    async def until_pod_ends(self) -> AsyncGenerator[None]:
        """Yield once when the kubelet has the pod; return when it has it no more. Raises what the kubelet raised."""
        call = await self._call(0)
        try:
            yield
            with contextlib.suppress(ConnectionError):  # the kubelet ended: it cannot tell, so the caller asks again
                while await call.read():
                    pass
        finally:
            await call.close()

    async def _call(self, port: int) -> CalledForward:
        m = self._pod.metadata
        return await self._kubelets.port_forward(self._node, m.namespace, m.name, m.uid, port)


class PodPortForwards:
    """The portforward subresource of pods."""

    def __init__(self, handler: RequestHandler, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._handler, self._reader, self._kubelets = handler, reader, kubelets

    @contextlib.asynccontextmanager
    async def ports(self, request: Request) -> AsyncGenerator[PodPorts]:
        """Let the body connect to ports of the pod that a request names. Raises what is wrong with the request, and
        BadRequest for a pod that no node runs yet."""
        async with self._handler.handling(request):
            entry = await self._reader.entry(scheme.PODS, request.namespace, request.name)
            pod = core_pb2.Pod.FromString(entry.raw)
            request.uid = pod.metadata.uid
            if not pod.spec.nodeName:
                raise errors.BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
            node = await self._reader.entry(scheme.NODES, "", pod.spec.nodeName)
            yield PodPorts(self._kubelets, core_pb2.Node.FromString(node.raw), pod)
