"""A command that runs in a container elsewhere, and how calls of gRPC carry it: ``Exec`` and ``Attach`` of the
api-server and of the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from kubelab.apimachinery import exitstatus
from kubelab.apimachinery.grpcstatus import from_rpc
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, CommandOutput, PodAttachRequest, PodExecRequest
from kubelab.rpc.duplexcalls import begin
from kubelab.rpc.kubelet.v1.kubelet_pb2 import AttachRequest, ExecRequest

Request = PodExecRequest | PodAttachRequest | ExecRequest | AttachRequest


class RemoteCommand(Protocol):
    """A command that has begun, from the side of whoever has it run. ``send`` and ``receive`` may wait side by side."""

    async def send(self, given: CommandInput) -> None:
        """Give stdin, its end, or the terminal's new size; returns when more may be sent. Nothing where the command
        has ended, or reads no more."""
        ...

    async def receive(self) -> CommandOutput | None:
        """Give what it prints as it comes, at last its status; None after that. ConnectionError where it is lost."""
        ...


async def serve(command: RemoteCommand, requests: AsyncIterator[Request], context: Any) -> None:
    """Answer the rest of a call with a command that has begun, up to its status."""
    await context.write(CommandOutput())
    async with asyncio.TaskGroup() as group:
        inputs = group.create_task(_send_all(command, requests), name="command-input")
        try:
            while (output := await command.receive()) is not None:
                await context.write(output)
        except ConnectionError as err:
            await context.write(CommandOutput(status=exitstatus.failed(str(err))))
        finally:
            inputs.cancel()


async def _send_all(command: RemoteCommand, requests: AsyncIterator[Request]) -> None:
    async for request in requests:
        await command.send(request.input)
    await command.send(CommandInput(stdin_end=True))


class CalledCommand:
    """The caller's end of a call; it owns the call. ``request`` is the type of its messages."""

    def __init__(self, call: Any, request: type[Request]) -> None:
        self._call, self._request = call, request
        self._sending = asyncio.Lock()  # stdin and sizes may come side by side; a call takes one write at a time

    async def send(self, given: CommandInput) -> None:
        """See :class:`RemoteCommand`."""
        async with self._sending:
            await self._send(given)

    async def _send(self, given: CommandInput) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # reading tells of its end
            await self._call.write(self._request(input=given))

    async def receive(self) -> CommandOutput | None:
        """See :class:`RemoteCommand`."""
        try:
            answer = await self._call.read()
        except grpc.aio.AioRpcError as err:
            raise ConnectionResetError(from_rpc(err).message) from err
        return None if answer is grpc.aio.EOF else answer

    async def close(self) -> None:
        """Cancel the call, which kills a command that still runs."""
        self._call.cancel()


async def begun(call: Any, first: Request) -> CalledCommand:
    """Begin a call and give its command. ApiError; the call is over then."""
    await begin(call, first, "the command began")
    return CalledCommand(call, type(first))
