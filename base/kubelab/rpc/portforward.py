"""A forwarded connection as a call of gRPC, on either side: ``PortForward`` of the api-server and of the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from kubelab.apimachinery.grpcstatus import from_rpc
from kubelab.rpc.apiserver.v1.apiserver_pb2 import PodPortForwardRequest, PodPortForwardResponse
from kubelab.rpc.duplexcalls import begin
from kubelab.rpc.kubelet.v1.kubelet_pb2 import PortForwardRequest
from kubelab.streams.duplex import ForwardError

Request = PodPortForwardRequest | PortForwardRequest


class ServedForward:
    """The server's end. ``requests`` are those after the first."""

    def __init__(self, requests: AsyncIterator[Request], context: Any) -> None:
        self._requests, self._context = requests, context

    async def read(self) -> bytes:
        async for request in self._requests:
            if request.data:
                return request.data
        return b""

    async def write(self, data: bytes) -> None:
        await self._context.write(PodPortForwardResponse(data=data))

    async def write_eof(self) -> None:
        await self._context.write(PodPortForwardResponse(end=True))

    async def close(self) -> None:
        """Nothing: the call ends when its method returns."""


async def tell_error(context: Any, error: str) -> None:
    """End a forwarded connection with the reason; nothing where the caller has gone."""
    with contextlib.suppress(grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError):
        await context.write(PodPortForwardResponse(error=error))


class CalledForward:
    """The caller's end; it owns the call. ``request`` is the type of its messages."""

    def __init__(self, call: Any, request: type[Request]) -> None:
        self._call, self._request = call, request

    async def read(self) -> bytes:
        """ForwardError with the reason of the other side."""
        while True:
            try:
                answer = await self._call.read()
            except grpc.aio.AioRpcError as err:
                raise ForwardError(from_rpc(err).message) from err
            if answer is grpc.aio.EOF:
                return b""
            if answer.error:
                raise ForwardError(answer.error)
            if answer.end:
                return b""
            if answer.data:
                return answer.data

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(self._request(data=data))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as err:
            raise ConnectionResetError("the other side has ended the connection") from err

    async def write_eof(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it is over already
            await self._call.done_writing()

    async def close(self) -> None:
        self._call.cancel()


async def begun(call: Any, first: Request) -> CalledForward:
    """Begin a call and give its connection. ApiError; the call is over then."""
    await begin(call, first, "it took the connection")
    return CalledForward(call, type(first))
