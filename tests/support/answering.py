"""What a server of a test does with an error of the domain."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.grpcstatus import to_rpc


@contextlib.asynccontextmanager
async def answering(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[None]:
    """Answer a domain error with its status."""
    try:
        yield
    except ApiError as err:
        await context.abort(*to_rpc(err))
