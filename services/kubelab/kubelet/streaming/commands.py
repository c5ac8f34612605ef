"""Commands in containers of this node, and their own streams, for the api-server through the container runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.kubelet.cri.client import Runtime, RuntimeFailure
from kubelab.kubelet.cri.views import ContainerView, State
from kubelab.kubelet.pods.manager import PodManager
from kubelab.kubelet.streaming.runtimestreams import streaming
from kubelab.rpc.duplexcalls import first_of
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.rpc.remotecommand import serve
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.remotecommand import PROTOCOL, Wanted, opened


@dataclass(frozen=True, slots=True)
class Commands:
    """See the module."""

    manager: PodManager
    runtime: Runtime
    clock: Clock

    async def exec(self, requests: AsyncIterator[kubelet_pb2.ExecRequest], context: Any) -> None:
        """Serve one call of ``Exec``. BadRequest, NotFound, InternalError."""
        first: kubelet_pb2.ExecRequest = await first_of(requests)
        container = self._container(first)
        try:
            url = await self.runtime.exec(container.id, container.name, first.options)
        except RuntimeFailure as err:
            raise errors.InternalError(str(err)) from err
        await self._serve(url, first, requests, context)

    async def attach(self, requests: AsyncIterator[kubelet_pb2.AttachRequest], context: Any) -> None:
        """Serve one call of ``Attach``, in the same way. The container's own settings say whether it has a terminal."""
        first: kubelet_pb2.AttachRequest = await first_of(requests)
        container = self._container(first)
        try:
            url = await self.runtime.attach(container.id, container.name, first.options)
        except RuntimeFailure as err:
            raise errors.InternalError(str(err)) from err
        await self._serve(url, first, requests, context)

    async def _serve(
        self,
        url: str,
        first: kubelet_pb2.ExecRequest | kubelet_pb2.AttachRequest,
        requests: AsyncIterator[Any],
        context: Any,
    ) -> None:
        options = first.options
        wanted = Wanted(options.stdin, options.stdout, options.stderr, options.tty)
        try:
            async with (
                streaming(url, (PROTOCOL,), self.clock, abrupt=True) as connection,
                opened(connection, wanted) as command,
            ):
                await serve(command, requests, context)
        except (ConnectionError, ProtocolError, TimeoutError) as err:
            raise errors.InternalError(f"the container runtime's streams broke off: {err}") from err

    def _container(self, request: kubelet_pb2.ExecRequest | kubelet_pb2.AttachRequest) -> ContainerView:
        """Find the running container that is meant. NotFound, InternalError in upstream's words."""
        worker = self.manager.find(request.namespace, request.pod, request.pod_uid)
        if worker is None or worker.state.pod is None:
            raise errors.NotFound("pod does not exist", name=request.pod, kind="pods")
        name = request.options.container
        running = next((c for c in worker.state.view.attempts(name) if c.state is State.RUNNING), None)
        if running is None:
            raise errors.InternalError(f'unable to upgrade connection: container not found ("{name}")')
        return running
