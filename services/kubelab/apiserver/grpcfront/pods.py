"""What can be done with a running pod, as gRPC methods."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.apiserver.endpoints.podlogs import PodLogs
from kubelab.apiserver.grpcfront.requests import Context, request_of
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

SERVICE = "kubelab.rpc.apiserver.v1.Pods"


class PodsServicer:
    def __init__(self, logs: PodLogs) -> None:
        self._logs = logs

    def add_to(self, server: Any) -> None:
        """Register the methods; answers need no serializer."""
        handler = grpc.unary_stream_rpc_method_handler(self.logs, pb.PodLogsRequest.FromString)
        handlers: dict[str, Any] = {"Logs": handler}
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
