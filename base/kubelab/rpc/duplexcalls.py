"""How calls of gRPC begin in which both sides stream: the first message says what is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from kubelab.apimachinery.errors import BadRequest, Unavailable
from kubelab.apimachinery.grpcstatus import from_rpc


async def first_of(requests: AsyncIterator[Any]) -> Any:
    """Read a call's first message. BadRequest."""
    try:
        return await anext(requests)
    except StopAsyncIteration:
        raise BadRequest("the call ended before it named a pod") from None


async def begin(call: Any, first: Any, awaited: str) -> None:
    """Send the first message and wait for the other side's, which says that it has begun. ``awaited`` is what that
    means, as in "the server ended the call before …". ApiError where it does not begin; the call is over then."""
    try:
        with contextlib.suppress(asyncio.InvalidStateError):  # the call is over already: reading gives its error
            await call.write(first)
        if await call.read() is grpc.aio.EOF:
            raise Unavailable(f"the server ended the call before {awaited}")
    except grpc.aio.AioRpcError as err:
        call.cancel()
        raise from_rpc(err) from err
    except BaseException:
        call.cancel()
        raise
