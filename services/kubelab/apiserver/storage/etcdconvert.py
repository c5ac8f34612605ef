"""The store's words in etcd's messages, and etcd's answers and errors in the store's words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from aetcd import rpc

from kubelab.apimachinery import errors
from kubelab.apiserver.storage.store import (
    Absent,
    Condition,
    Holds,
    KeyValue,
    Operation,
    Put,
    StoreEvent,
)


def transaction(conditions: Sequence[Condition], operations: Sequence[Operation]) -> Any:
    """Make the request that carries out the operations if the conditions hold, and else reads the conditions' keys.

    The parts are filled in where they stand in the request. Every write passes here, and a part that is made first and
    then put into the request is copied with its value.
    """
    request = rpc.TxnRequest()
    for condition in conditions:
        compare, key = request.compare.add(), bytes_of(condition.key)
        compare.key = request.failure.add().request_range.key = key
        if isinstance(condition, Absent):
            compare.target, compare.version = rpc.Compare.VERSION, 0
        elif isinstance(condition, Holds):
            compare.target, compare.value = rpc.Compare.VALUE, condition.value
        else:
            compare.target, compare.mod_revision = rpc.Compare.MOD, condition.mod_revision
    for operation in operations:
        key = bytes_of(operation.key)
        if isinstance(operation, Put):
            put = request.success.add().request_put
            put.key, put.value, put.lease = key, operation.value, operation.lease
        else:
            request.success.add().request_delete_range.key = key
    return request


def current_of(answer: Any, conditions: Sequence[Condition]) -> dict[str, KeyValue | None]:
    """Read what the keys of a transaction's conditions hold, from the answer that refused it."""
    values: dict[str, KeyValue | None] = {}
    for condition, response in zip(conditions, answer.responses, strict=True):
        key, kvs = condition.key, response.response_range.kvs
        values[key] = KeyValue(key, kvs[0].value, kvs[0].mod_revision) if kvs else None
    return values


def text_of(key: bytes) -> str:
    """A key as text. Bytes that are none stay what they are: they may be sent back, as the start of the next page."""
    return key.decode(errors="surrogateescape")


def bytes_of(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def event_of(event: Any) -> StoreEvent:
    kv = event.kv
    return StoreEvent(text_of(kv.key), None if event.type else kv.value, kv.mod_revision)


# What a member says when it may have handed a request on, or has nothing to hand it to. UNKNOWN is what etcd says when
# a deadline passes within it: Go's own error, without a code.
NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)
# What it says of a request that is wrong, or one too many, before it does anything. After any other word it may be
# done.
REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,  # a lease
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # but for `no_space`
)

_ERRORS: dict[grpc.StatusCode, type[errors.ApiError]] = {
    grpc.StatusCode.UNKNOWN: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Timeout,
    grpc.StatusCode.OUT_OF_RANGE: errors.Expired,  # compacted: no revision of the future is ever asked for
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooManyRequests,
    grpc.StatusCode.UNAUTHENTICATED: errors.InternalError,  # the api-server's certificate, not the caller's
}

# etcd's own clients tell errors of one code apart by these words
# (https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go).
_NO_LEADER = "etcdserver: no leader"
_NO_SPACE = "etcdserver: mvcc: database space exceeded"


def no_leader(err: grpc.aio.AioRpcError) -> bool:
    """Whether a member refused because it has no leader: nothing was handed on."""
    return err.details() == _NO_LEADER


def no_space(err: grpc.aio.AioRpcError) -> bool:
    """Whether etcd's quota is reached. The write that reaches it is carried out all the same; later ones are not."""
    return err.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and err.details() == _NO_SPACE


def translate(err: grpc.aio.AioRpcError) -> errors.ApiError:
    if err.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.Timeout("etcd did not answer in time")
    if no_space(err):
        return errors.no_space(_NO_SPACE)
    return _ERRORS.get(err.code(), errors.InternalError)(err.details() or err.code().name)
