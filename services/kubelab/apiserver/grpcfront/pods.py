"""What can be done with a running pod, as gRPC methods."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc

from kubelab.apimachinery import errors
from kubelab.apiserver.endpoints.podcommands import PodCommands
from kubelab.apiserver.endpoints.podlogs import PodLogs
from kubelab.apiserver.endpoints.portforward import PodPortForwards
from kubelab.apiserver.grpcfront.requests import Context, request_of
from kubelab.apiserver.request import Request
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.duplexcalls import first_of
from kubelab.rpc.portforward import ServedForward, tell_error
from kubelab.rpc.remotecommand import serve
from kubelab.streams.duplex import ForwardError, relay

SERVICE = "kubelab.rpc.apiserver.v1.Pods"


class PodsServicer:
    def __init__(self, logs: PodLogs, commands: PodCommands, forwards: PodPortForwards) -> None:
        self._logs, self._commands, self._forwards = logs, commands, forwards

    def add_to(self, server: Any) -> None:
        """Register the methods; answers need no serializer."""
        handlers: dict[str, Any] = {
            "Logs": grpc.unary_stream_rpc_method_handler(self.logs, pb.PodLogsRequest.FromString),
            "Exec": grpc.stream_stream_rpc_method_handler(
                self.exec, pb.PodExecRequest.FromString, pb.CommandOutput.SerializeToString
            ),
            "Attach": grpc.stream_stream_rpc_method_handler(
                self.attach, pb.PodAttachRequest.FromString, pb.CommandOutput.SerializeToString
            ),
            "PortForward": grpc.stream_stream_rpc_method_handler(
                self.port_forward,
                pb.PodPortForwardRequest.FromString,
                pb.PodPortForwardResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    async def logs(self, message: pb.PodLogsRequest, context: Context) -> AsyncGenerator[bytes]:
        path = pb.ResourcePath(
            version="v1", resource="pods", namespace=message.namespace, name=message.name, subresource="log"
        )
        chunks = self._logs.read(request_of(context, "get", path), message.options)
        try:
            async for chunk in chunks:  # a ContainerLogsChunk is encoded like a PodLogsChunk
                yield chunk
        finally:
            await chunks.aclose()

    async def exec(self, requests: AsyncIterator[pb.PodExecRequest], context: Context) -> None:
        first: pb.PodExecRequest = await first_of(requests)
        async with self._commands.exec(_named(first, "exec", context), first.options) as command:
            await serve(command, requests, context)

    async def attach(self, requests: AsyncIterator[pb.PodAttachRequest], context: Context) -> None:
        first: pb.PodAttachRequest = await first_of(requests)
        async with self._commands.attach(_named(first, "attach", context), first.options) as command:
            await serve(command, requests, context)

    async def port_forward(self, requests: AsyncIterator[pb.PodPortForwardRequest], context: Context) -> None:
        """One forwarded connection; with port 0 none, until the pod ends."""
        first: pb.PodPortForwardRequest = await first_of(requests)
        if not 0 <= first.port < 65536:
            raise errors.BadRequest(f"port {first.port}: expected a number from 1 to 65535, or 0")
        async with self._forwards.ports(_named(first, "portforward", context)) as ports:
            if not first.port:
                async with contextlib.aclosing(ports.until_pod_ends()) as news:
                    async for _ in news:
                        await context.write(pb.PodPortForwardResponse())
                return
            try:
                connection = await ports.connect(first.port)
                await context.write(pb.PodPortForwardResponse())
                await relay(ServedForward(requests, context), connection)
            except ForwardError as err:
                await tell_error(context, str(err))
            except ConnectionError:
                pass  # broken off, by either side


def _named(
    first: pb.PodExecRequest | pb.PodAttachRequest | pb.PodPortForwardRequest, subresource: str, context: Context
) -> Request:
    """The request that a call's first message makes: as in HTTP's POST, its verb is create."""
    path = pb.ResourcePath(
        version="v1", resource="pods", namespace=first.namespace, name=first.name, subresource=subresource
    )
    return request_of(context, "create", path)
