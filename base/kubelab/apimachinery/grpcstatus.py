"""Convert :mod:`errors` to gRPC statuses and back, by one table of codes."""

from __future__ import annotations

import grpc
from google.rpc import status_pb2

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import ApiError

DETAILS_KEY = "grpc-status-details-bin"  # where gRPC itself puts a google.rpc.Status

MAX_TEXT = 256 * 1024  # characters of a message, and of its causes: several times as much when encoded

CODES: dict[type[ApiError], grpc.StatusCode] = {  # a test compares the keys with ApiError's subclasses
    errors.BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthorized: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.MethodNotAllowed: grpc.StatusCode.UNIMPLEMENTED,
    errors.NotAcceptable: grpc.StatusCode.INVALID_ARGUMENT,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Expired: grpc.StatusCode.OUT_OF_RANGE,
    errors.TooLarge: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnsupportedMediaType: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TooManyRequests: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.InternalError: grpc.StatusCode.INTERNAL,
    errors.UnknownError: grpc.StatusCode.INTERNAL,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Timeout: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_BY_CODE = {code: kind for kind, code in reversed(CODES.items())}  # the first of two with one code wins


def to_rpc(err: ApiError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Give the status code, the message and the trailing metadata that carry an error to a caller.

    What no caller would take as metadata is cut: better the beginning than "Stream removed".
    """
    code, status = CODES[type(err)], err.to_status()
    if len(status.message) > MAX_TEXT:
        status.message = f"{status.message[:MAX_TEXT]}… and {len(status.message) - MAX_TEXT} more characters"
    causes, size = status.details.causes, 0
    for at, cause in enumerate(causes):
        size += len(cause.field) + len(cause.message)
        if at and size > MAX_TEXT:
            omitted = len(causes) - at
            del causes[at:]
            causes.add(message=f"… and {omitted} more")
            break
    rich = status_pb2.Status(code=code.value[0], message=status.message)
    rich.details.add().Pack(status)
    return code, status.message, ((DETAILS_KEY, rich.SerializeToString()),)


def from_rpc(rpc: grpc.aio.AioRpcError) -> ApiError:
    """Give the caller the type that the server raised; without details, what the bare code tells."""
    for key, value in rpc.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                status = meta_pb2.Status()
                if detail.Unpack(status):
                    return ApiError.from_status(status)
    kind = _BY_CODE.get(rpc.code(), errors.InternalError)
    return kind(rpc.details() or rpc.code().name)
