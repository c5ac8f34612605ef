"""What a CRI call may fail with."""

from __future__ import annotations

import errno

import grpc

from kubelab.rpc.statuserror import StatusError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class CRIError(StatusError):
    """What a CRI call fails with.

    The code of its own accord is FAILED_PRECONDITION: the kernel, the OCI runtime or a program refuses what was asked.
    UNKNOWN and INTERNAL are left to bugs.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION) -> None:
        super().__init__(message, code)


def code_of(err: Exception) -> grpc.StatusCode:
    """The status of what went wrong while a call was answered: RESOURCE_EXHAUSTED where the machine has run out of
    something, INVALID_ARGUMENT for a value that is none."""
    match err:
        case CRIError(code=code):
            return code
        case OSError(errno=number) if number in _FULL:
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        case ValueError():
            return grpc.StatusCode.INVALID_ARGUMENT
        case _:
            return grpc.StatusCode.FAILED_PRECONDITION


def not_found(what: str, name: str) -> CRIError:
    """containerd's words."""
    message = f'an error occurred when try to find {what} "{name}": not found'
    return CRIError(message, grpc.StatusCode.NOT_FOUND)
