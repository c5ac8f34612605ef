"""The way to the kubelets: one channel to each node that was asked something."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal

import grpc
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, grpcstatus
from kubelab.rpc import portforward, tracing
from kubelab.rpc.apiserver.v1 import apiserver_pb2
from kubelab.rpc.channels import TLSIdentity, TLSIdentityFiles, open_channel
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.rpc.portforward import CalledForward
from kubelab.rpc.remotecommand import CalledCommand, begun
from kubelab.topology.components import server_name

READ_SECONDS = 30.0  # for one page of a kubelet
_SERVICE = "/kubelab.rpc.kubelet.v1.Kubelet/"


class Kubelets:
    """Calls kubelets with this api-server's client certificate. ``caller`` is this process's name.

    A node tells its own address. Whoever is there has to show the certificate of that node's kubelet.
    """

    def __init__(self, identity: TLSIdentityFiles | None, caller: str) -> None:
        self._identity, self._caller = identity, caller
        self._channels: dict[tuple[str, str], tuple[grpc.aio.Channel, TLSIdentity]] = {}

    async def close(self) -> None:
        for channel, _ in self._channels.values():
            await channel.close()

    async def stream(
        self, node: core_pb2.Node, method: str, request: bytes, timeout: float | None
    ) -> AsyncGenerator[bytes]:
        """Call a streaming method and yield its encoded answers. Raises what the kubelet raised; Unavailable."""
        address = address_of(node)
        channel = self._channel(address, node.metadata.name)
        call: Any = channel.unary_stream(_SERVICE + method)(
            request, timeout=timeout, metadata=tracing.outgoing(self._caller), wait_for_ready=False
        )
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as err:
            raise _failed(err, node, address) from err
        finally:
            call.cancel()

    async def port_forward(
        self, node: core_pb2.Node, namespace: str, pod: str, pod_uid: str, port: int
    ) -> CalledForward:
        """Connect to a port of a pod through its kubelet; port 0 only waits for the pod's end. Raises what the kubelet
        raised; Unavailable."""
        address = address_of(node)
        channel = self._channel(address, node.metadata.name)
        method: Any = channel.stream_stream(
            f"{_SERVICE}PortForward",
            request_serializer=kubelet_pb2.PortForwardRequest.SerializeToString,
            response_deserializer=apiserver_pb2.PodPortForwardResponse.FromString,
        )
        first = kubelet_pb2.PortForwardRequest(namespace=namespace, pod=pod, pod_uid=pod_uid, port=port)
        return await portforward.begun(method(metadata=tracing.outgoing(self._caller)), first)

    async def read_path(self, node: core_pb2.Node, path: str) -> kubelet_pb2.ReadPathResponse:
        """Read one of the kubelet's own paths, such as /healthz. Raises what the kubelet raised; Unavailable."""
        address = address_of(node)
        read: Any = self._channel(address, node.metadata.name).unary_unary(
            f"{_SERVICE}ReadPath",
            request_serializer=kubelet_pb2.ReadPathRequest.SerializeToString,
            response_deserializer=kubelet_pb2.ReadPathResponse.FromString,
        )
        try:
            metadata = tracing.outgoing(self._caller)
            return await read(kubelet_pb2.ReadPathRequest(path=path), timeout=READ_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as err:
            raise _failed(err, node, address) from err

    async def run(
        self,
        node: core_pb2.Node,
        method: Literal["Exec", "Attach"],
        first: kubelet_pb2.ExecRequest | kubelet_pb2.AttachRequest,
    ) -> CalledCommand:
        """Begin a command in a container, or attach to one, through its kubelet. Raises what the kubelet raised;
        Unavailable."""
        address = address_of(node)
        begin: Any = self._channel(address, node.metadata.name).stream_stream(
            _SERVICE + method,
            request_serializer=_encoded,
            response_deserializer=apiserver_pb2.CommandOutput.FromString,
        )
        try:
            return await begun(begin(metadata=tracing.outgoing(self._caller)), first)
        except errors.Unavailable as err:
            message = f'the kubelet of node "{node.metadata.name}" at {address} does not answer: {err.message}'
            raise errors.Unavailable(message) from err

    def _channel(self, address: str, node: str) -> grpc.aio.Channel:
        """The channel to a node's kubelet; opened anew where it is not connected and the certificate was renewed."""
        if self._identity is None:
            raise errors.InternalError("Internal error occurred: no client certificate for kubelets is configured")
        identity, key = self._identity.current(), (address, node)
        if opened := self._channels.get(key):
            channel, used = opened
            if used is identity or channel.get_state() is grpc.ChannelConnectivity.READY:
                return channel
        name = server_name(f"kubelet@{node}")
        channel = open_channel(address, identity, server_name=name)
        self._channels[key] = (channel, identity)
        return channel


def _failed(err: grpc.aio.AioRpcError, node: core_pb2.Node, address: str) -> errors.ApiError:
    """What a call raises that failed, with the kubelet's name where that does not answer."""
    if err.code() is not grpc.StatusCode.UNAVAILABLE:
        return grpcstatus.from_rpc(err)
    message = f'the kubelet of node "{node.metadata.name}" at {address} does not answer: {err.details()}'
    return errors.Unavailable(message)


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()


def address_of(node: core_pb2.Node) -> str:
    """host:port of a node's kubelet; InternalError when its status does not tell."""
    port = node.status.daemonEndpoints.kubeletEndpoint.Port
    for address in node.status.addresses:
        if address.type == "InternalIP" and port:
            return f"{address.address}:{port}"
    raise errors.InternalError(
        f'Internal error occurred: node "{node.metadata.name}" has not told the address of its kubelet'
    )
