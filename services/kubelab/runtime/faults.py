"""What a CRI call may fail with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.apimachinery.errors import encodable


class Fault(Exception):
    """An answer other than OK: a status code and a message for people."""

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def not_found(what: str, name: str) -> Fault:
    """containerd's words."""
    message = f'an error occurred when try to find {what} "{name}": not found'
    return Fault(message, grpc.StatusCode.NOT_FOUND)


@contextlib.asynccontextmanager
async def answering(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[None]:
    """Answer a fault with its status, in one place, at the edge of the process."""
    try:
        yield
    except Fault as fault:
        await context.abort(fault.code, encodable(fault.message))
