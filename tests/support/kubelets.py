"""A kubelet for tests of api-servers: real gRPC with its certificate, and pods that are imagined."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, exitstatus
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandOutput, PodPortForwardResponse
from kubelab.rpc.kubelet.v1 import kubelet_pb2_grpc
from kubelab.rpc.kubelet.v1.kubelet_pb2 import ReadPathResponse
from kubelab.rpc.portforward import ServedForward
from kubelab.streams.duplex import SocketDuplex, relay
from tests.support.answering import answering
from tests.support.pki import Files, TestAuthority

NODE = "node-1"


class EchoingKubelet(kubelet_pb2_grpc.KubeletServicer):
    """Port 80 sends everything back, port 81 refuses, others are ``servers``; the pod lives until ``ended``. ``open``
    counts connections and commands."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.open = 0
        self.port = 0
        self.servers: dict[int, int] = {}
        """Ports of the pods behind which a server of the test listens on loopback, at this port."""

    async def ReadPath(self, request: Any, context: Any) -> ReadPathResponse:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Each path tells itself."""
        return ReadPathResponse(code=200, content_type="text/x-path", body=request.path.encode())

    async def Exec(self, request_iterator: Any, context: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """``cat`` prints what it is given, and the terminal's sizes; ``exit N`` says a word on each output."""
        first = await anext(request_iterator)
        async with answering(context):
            if first.options.command[0] == "none":
                raise errors.InternalError("no such program")
            await context.write(CommandOutput())
            self.open += 1
            try:
                await self._run(list(first.options.command), request_iterator, context)
            finally:
                self.open -= 1

    async def Attach(self, request_iterator: Any, context: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Every container is a ``cat``."""
        await anext(request_iterator)
        await context.write(CommandOutput())
        await self._run(["cat"], request_iterator, context)

    async def _run(self, command: list[str], requests: Any, context: Any) -> None:
        if command[0] == "exit":
            await context.write(CommandOutput(stdout=b"out"))
            await context.write(CommandOutput(stderr=b"err"))
            await context.write(CommandOutput(status=exitstatus.exited(int(command[1]))))
            return
        async for request in requests:
            given = request.input
            if given.stdin:
                await context.write(CommandOutput(stdout=given.stdin))
            if given.HasField("size"):
                await context.write(CommandOutput(stdout=f"{given.size.width}x{given.size.height}".encode()))
            if given.stdin_end:
                await context.write(CommandOutput(status=exitstatus.exited(0)))
                return

    async def PortForward(self, request_iterator: Any, context: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        first = await anext(request_iterator)
        assert first.pod_uid
        async with answering(context):
            if first.pod == "gone":
                raise errors.NotFound('pod not found ("gone_default")')
            await context.write(PodPortForwardResponse())
            if not first.port:
                await self.ended.wait()
            elif first.port in self.servers:
                sock = socket.create_connection(("127.0.0.1", self.servers[first.port]))
                with contextlib.suppress(ConnectionError):
                    await relay(ServedForward(request_iterator, context), SocketDuplex(sock))
            elif first.port == 81:
                await context.write(PodPortForwardResponse(error="connection refused"))
            else:
                self.open += 1
                try:
                    async for request in request_iterator:
                        await context.write(PodPortForwardResponse(data=request.data))
                    await context.write(PodPortForwardResponse(end=True))
                finally:
                    self.open -= 1


@contextlib.asynccontextmanager
async def echoing_kubelet(authority: TestAuthority) -> AsyncGenerator[tuple[EchoingKubelet, int]]:
    """Serve one; gives it and its port on loopback."""
    fake = EchoingKubelet()  # pyright: ignore[reportAbstractUsage]
    files = authority.issue(f"kubelet@{NODE}", addresses=(), names=(f"kubelet.{NODE}",))
    add = partial(kubelet_pb2_grpc.add_KubeletServicer_to_server, fake)
    async with serve_grpc("127.0.0.1:0", [add], tls=tls_of(files), health=Health()) as serving:
        yield fake, serving.port


def tls_of(files: Files) -> TLS:
    return TLS(ca=files.ca, certificate=files.certificate, key=files.key)


def node_at(port: int) -> core_pb2.Node:
    """The Node of a kubelet on loopback."""
    node = core_pb2.Node()
    node.metadata.name = NODE
    node.status.addresses.add(type="InternalIP", address="127.0.0.1")
    node.status.daemonEndpoints.kubeletEndpoint.Port = port
    return node
