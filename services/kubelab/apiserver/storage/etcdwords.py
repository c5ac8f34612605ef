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
    Outcome,
    Put,
    StoreEvent,
    Unchanged,
)


def compare(condition: Condition) -> Any:
    key = bytes_of(condition.key)
    if isinstance(condition, Absent):
        return rpc.Compare(key=key, target=rpc.Compare.VERSION, version=0)
    if isinstance(condition, Holds):
        return rpc.Compare(key=key, target=rpc.Compare.VALUE, value=condition.value)
    return rpc.Compare(key=key, target=rpc.Compare.MOD, mod_revision=condition.mod_revision)


def operation_of(operation: Operation) -> Any:
    key = bytes_of(operation.key)
    if isinstance(operation, Put):
        return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=operation.value, lease=operation.lease))
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def read_back(key: str) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=bytes_of(key)))


def once_only(conditions: Sequence[Condition]) -> bool:
    """Whether a second effect is impossible: something is compared that no write leaves as it was."""
    kinds = {type(condition) for condition in conditions}
    return not conditions or (Unchanged in kinds and Absent not in kinds)


def took_effect(operation: Operation, current: KeyValue | None) -> bool:
    if isinstance(operation, Put):
        return current is not None and current.value == operation.value
    return current is None


def first_one(second: Outcome, operations: Sequence[Operation]) -> Outcome | None:
    """What became of a write whose repetition was refused: its success, where the refusal shows just what it wrote."""
    shown = [(o, second.current[o.key]) for o in operations if o.key in second.current]
    if not shown or not all(took_effect(o, current) for o, current in shown):
        return None
    ours = [current.mod_revision for _, current in shown if current is not None]
    return Outcome(True, max(ours, default=second.revision))


def outcome(answer: Any, conditions: Sequence[Condition]) -> Outcome:
    if answer.succeeded:
        return Outcome(True, answer.header.revision)
    return Outcome(False, answer.header.revision, current_of(answer, [c.key for c in conditions]))


def current_of(answer: Any, keys: Sequence[str]) -> dict[str, KeyValue | None]:
    found: dict[str, KeyValue | None] = {}
    for key, response in zip(keys, answer.responses, strict=True):
        kvs = response.response_range.kvs
        found[key] = KeyValue(key, kvs[0].value, kvs[0].mod_revision) if kvs else None
    return found


def text_of(key: bytes) -> str:
    """A key as text. Bytes that are none stay what they are: they may be sent back, as the start of the next page."""
    return key.decode(errors="surrogateescape")


def bytes_of(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def event_of(event: Any) -> StoreEvent:
    kv = event.kv
    return StoreEvent(text_of(kv.key), None if event.type else kv.value, kv.mod_revision)


_ERRORS: dict[grpc.StatusCode, type[errors.ApiError]] = {
    grpc.StatusCode.UNKNOWN: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Timeout,
    grpc.StatusCode.OUT_OF_RANGE: errors.Expired,  # compacted: no revision of the future is ever asked for
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooManyRequests,
    grpc.StatusCode.UNAUTHENTICATED: errors.InternalError,  # the api-server's certificate, not the caller's
}


def translate(err: grpc.aio.AioRpcError) -> errors.ApiError:
    if err.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.Timeout("etcd did not answer in time")
    return _ERRORS.get(err.code(), errors.InternalError)(err.details() or err.code().name)
