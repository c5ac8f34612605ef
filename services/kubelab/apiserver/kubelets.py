"""The way to the kubelets: one channel to each node that was asked something."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, grpcstatus
from kubelab.client import tracing
from kubelab.client.channels import Identity, secure_channel

_SERVICE = "/kubelab.kubelet.v1.Kubelet/"


class Kubelets:
    """Calls kubelets with this api-server's client certificate. ``caller`` is this process's name."""

    def __init__(self, identity: Identity | None, caller: str) -> None:
        self._identity, self._caller = identity, caller
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def stream(
        self, node: core_pb2.Node, method: str, request: bytes, timeout: float | None
    ) -> AsyncGenerator[bytes]:
        """Call a streaming method and yield its encoded answers. Raises what the kubelet raised; Unavailable."""
        address = address_of(node)
        call: Any = self._channel(address).unary_stream(_SERVICE + method)(
            request, timeout=timeout, metadata=tracing.outgoing(self._caller), wait_for_ready=False
        )
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as err:
            if err.code() is grpc.StatusCode.UNAVAILABLE:
                told = f'the kubelet of node "{node.metadata.name}" at {address} does not answer: {err.details()}'
                raise errors.Unavailable(told) from err
            raise grpcstatus.from_rpc(err) from err
        finally:
            call.cancel()

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            if self._identity is None:
                raise errors.InternalError("Internal error occurred: no client certificate for kubelets is configured")
            channel = self._channels[address] = secure_channel(address, self._identity)
        return channel


def address_of(node: core_pb2.Node) -> str:
    """host:port of a node's kubelet; InternalError when its status does not tell."""
    port = node.status.daemonEndpoints.kubeletEndpoint.Port
    for address in node.status.addresses:
        if address.type == "InternalIP" and port:
            return f"{address.address}:{port}"
    raise errors.InternalError(
        f'Internal error occurred: node "{node.metadata.name}" has not told the address of its kubelet'
    )
