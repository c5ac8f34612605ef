"""Ports of this node's pods, forwarded for the api-server through the container runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.kubelet.cri.client import Runtime, RuntimeFailure
from kubelab.kubelet.pods.manager import PodManager
from kubelab.kubelet.streaming.runtimestreams import streaming
from kubelab.rpc.apiserver.v1.apiserver_pb2 import PodPortForwardResponse
from kubelab.rpc.duplexcalls import first_of
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.rpc.portforward import ServedForward, tell_error
from kubelab.spdy.errors import ProtocolError, StreamReset
from kubelab.spdy.portforward import PROTOCOL, open_port
from kubelab.streams.duplex import ForwardError, relay


@dataclass(frozen=True, slots=True)
class PortForwarder:
    """See the module."""

    manager: PodManager
    runtime: Runtime
    clock: Clock

    async def forward(self, requests: AsyncIterator[kubelet_pb2.PortForwardRequest], context: Any) -> None:
        """Serve one call of ``PortForward``. BadRequest, NotFound."""
        first: kubelet_pb2.PortForwardRequest = await first_of(requests)
        sandbox = self._sandbox(first)
        if not first.port:
            await context.write(PodPortForwardResponse())
            return await self._until_it_ends(first, sandbox)
        try:
            url = await self.runtime.port_forward(sandbox, first.port)
            async with streaming(url, (PROTOCOL,), self.clock) as connection:
                forwarded = await open_port(connection, first.port, 0)
                await context.write(PodPortForwardResponse())
                await relay(ServedForward(requests, context), forwarded)
        except ForwardError as err:
            await tell_error(context, str(err))
        except StreamReset:
            pass  # by the program in the pod; there is nothing to say of that
        except (RuntimeFailure, ConnectionError, ProtocolError, TimeoutError) as err:
            await tell_error(context, f"error forwarding port {first.port} to pod {sandbox}, uid : {err}")

    def _sandbox(self, request: kubelet_pb2.PortForwardRequest) -> str:
        worker = self.manager.find(request.namespace, request.pod, request.pod_uid)
        sandboxes = worker.state.view.sandboxes if worker is not None else ()
        ready = next((sandbox.id for sandbox in sandboxes if sandbox.ready), "")
        if not ready:
            raise errors.NotFound(f'pod not found ("{request.pod}_{request.namespace}")', name=request.pod, kind="pods")
        return ready

    async def _until_it_ends(self, request: kubelet_pb2.PortForwardRequest, sandbox: str) -> None:
        """Wait until a sandbox is not ready any more."""
        worker = self.manager.find(request.namespace, request.pod, request.pod_uid)
        while worker is not None and any(s.id == sandbox and s.ready for s in worker.state.view.sandboxes):
            changed = self.manager.changes(worker.state.ref.uid)
            changed.clear()
            await changed.wait()
            worker = self.manager.find(request.namespace, request.pod, request.pod_uid)
