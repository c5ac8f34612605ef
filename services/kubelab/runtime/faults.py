"""What a CRI call may fail with."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from kubelab.apimachinery.errors import encodable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Fault(Exception):
    """An answer other than OK: a status code and a message for people.

    The code of its own accord is FAILED_PRECONDITION: the kernel, the OCI runtime or a program refuses what was asked.
    UNKNOWN and INTERNAL are left to bugs.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def code_of(err: Exception) -> grpc.StatusCode:
    """The status of what went wrong while a call was answered: RESOURCE_EXHAUSTED where the machine has run out of
    something, INVALID_ARGUMENT for a value that is none."""
    match err:
        case Fault(code=code):
            return code
        case OSError(errno=number) if number in _FULL:
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        case ValueError():
            return grpc.StatusCode.INVALID_ARGUMENT
        case _:
            return grpc.StatusCode.FAILED_PRECONDITION


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
