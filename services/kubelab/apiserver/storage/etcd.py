"""etcd v3, over aetcd's generated messages: TLS, several endpoints, deadlines.

Reads are repeated on another endpoint. A write whose outcome is unknown is looked up first, and repeated only where
its conditions make a second effect impossible (every one compares a revision that can never come back).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from aetcd import rpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.store import (
    Absent,
    Condition,
    Holds,
    KeyValue,
    Operation,
    Outcome,
    Page,
    Put,
    StoreEvent,
    Unchanged,
)

# A dead peer is noticed within seconds, and a connection is tried again every two seconds at the latest.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # what keepalive really waits for; a minute by default (grpc-core 1.85)
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
_UNKNOWN_OUTCOME = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN)
_HAS_LEADER = (("hasleader", "true"),)  # an etcd member that lost its leader ends the watch instead of going silent
_EVERYTHING = b"\0"


@dataclass(frozen=True, slots=True)
class EtcdTLS:
    """Paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes())


class _Endpoint:
    """One member: its channel and the methods that are used."""

    def __init__(self, address: str, tls: EtcdTLS | None) -> None:
        self.address = address
        self.channel = (
            grpc.aio.secure_channel(address, tls.credentials(), options=CHANNEL_OPTIONS)
            if tls
            else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        )
        self.range = self._unary("KV/Range", rpc.RangeResponse)
        self.txn = self._unary("KV/Txn", rpc.TxnResponse)
        self.compact = self._unary("KV/Compact", rpc.CompactionResponse)
        self.lease_grant = self._unary("Lease/LeaseGrant", rpc.LeaseGrantResponse)
        self.lease_revoke = self._unary("Lease/LeaseRevoke", rpc.LeaseRevokeResponse)
        self.lease_keep_alive = self._stream("Lease/LeaseKeepAlive", rpc.LeaseKeepAliveResponse)
        self.watch = self._stream("Watch/Watch", rpc.WatchResponse)

    def _unary(self, method: str, answer: Any) -> Any:
        return self.channel.unary_unary(f"/etcdserverpb.{method}", _serialize, answer.FromString)

    def _stream(self, method: str, answer: Any) -> Any:
        return self.channel.stream_stream(f"/etcdserverpb.{method}", _serialize, answer.FromString)

    @property
    def ready(self) -> bool:
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    async def wait_ready(self) -> _Endpoint:
        await self.channel.channel_ready()
        return self


def _serialize(message: Any) -> bytes:
    return message.SerializeToString()


class EtcdStore:
    """A :class:`~kubelab.apiserver.storage.store.Store` on an etcd cluster.

    ``endpoints`` are ``host:port``. ``timeout`` is the deadline of one call in seconds.
    """

    def __init__(
        self, endpoints: Sequence[str], *, clock: Clock, tls: EtcdTLS | None = None, timeout: float = 10.0
    ) -> None:
        self._endpoints = [_Endpoint(address, tls) for address in endpoints]
        self._clock = clock
        self._timeout = timeout

    async def close(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.channel.close()

    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        request = rpc.RangeRequest(
            key=start.encode(), range_end=end.encode(), limit=limit, revision=revision, keys_only=keys_only
        )
        answer = await self._read(lambda e: e.range, request)
        items = [KeyValue(kv.key.decode(), kv.value, kv.mod_revision) for kv in answer.kvs]
        return Page(items, answer.more, answer.count, answer.header.revision)

    async def revision(self) -> int:
        # A key that nobody writes: the answer is its header.
        answer = await self._read(lambda e: e.range, rpc.RangeRequest(key=_EVERYTHING, count_only=True))
        return answer.header.revision

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        request = rpc.TxnRequest(
            compare=[_compare(c) for c in conditions],
            success=[_operation(o) for o in operations],
            failure=[_read_back(c.key) for c in conditions],
        )
        endpoint = await self._pick()
        try:
            answer = await endpoint.txn(request, timeout=self._timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as err:
            if err.code() not in _UNKNOWN_OUTCOME:
                raise _translate(err) from err
            return await self._settle(request, conditions, operations, err)
        return _outcome(answer, conditions)

    async def _settle(
        self, request: Any, conditions: Sequence[Condition], operations: Sequence[Operation], err: grpc.aio.AioRpcError
    ) -> Outcome:
        """Find out what became of a write that was not answered."""
        look = rpc.TxnRequest(success=[_read_back(o.key) for o in operations])
        answer = await self._read(lambda e: e.txn, look)
        current = _current(answer, [o.key for o in operations])
        if all(_took_effect(o, current[o.key]) for o in operations):
            ours = [kv.mod_revision for kv in current.values() if kv is not None]
            return Outcome(True, max(ours, default=answer.header.revision))
        if not _once_only(conditions):
            raise _translate(err) from err  # a creation may still be on its way, or be created and deleted again
        try:
            again = await (await self._pick()).txn(request, timeout=self._timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as second:
            raise _translate(second) from err
        return _outcome(again, conditions)

    async def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        create = rpc.WatchCreateRequest(key=_EVERYTHING, range_end=_EVERYTHING, start_revision=start_revision)
        endpoint = await self._pick()
        call = endpoint.watch(metadata=_HAS_LEADER, wait_for_ready=False)
        try:
            await call.write(rpc.WatchRequest(create_request=create))
            async for answer in call:
                if answer.compact_revision:
                    raise errors.Expired(f"revision {start_revision} has been compacted")
                if answer.canceled:
                    raise errors.Unavailable(answer.cancel_reason or "etcd ended the watch")
                if answer.events:
                    yield [_event(e) for e in answer.events]
        except grpc.aio.AioRpcError as err:
            raise _translate(err) from err
        except asyncio.InvalidStateError as err:  # written to a call that has ended already
            raise errors.Unavailable("etcd ended the watch") from err
        finally:
            call.cancel()
        raise errors.Unavailable("etcd ended the watch")

    async def grant_lease(self, ttl_seconds: int) -> int:
        answer = await self._read(lambda e: e.lease_grant, rpc.LeaseGrantRequest(TTL=ttl_seconds))
        return answer.ID

    async def keep_lease(self, lease: int) -> bool:
        endpoint = await self._pick()
        call = endpoint.lease_keep_alive(timeout=self._timeout, wait_for_ready=True)
        try:
            await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
            answer = await call.read()
            return answer is not grpc.aio.EOF and answer.TTL > 0
        except grpc.aio.AioRpcError as err:
            raise _translate(err) from err
        except asyncio.InvalidStateError as err:
            raise errors.Unavailable("etcd ended the call") from err
        finally:
            call.cancel()

    async def revoke_lease(self, lease: int) -> None:
        await self._read(lambda e: e.lease_revoke, rpc.LeaseRevokeRequest(ID=lease))

    async def compact(self, revision: int) -> None:
        try:
            await self._read(lambda e: e.compact, rpc.CompactionRequest(revision=revision))
        except errors.Expired:
            return  # somebody was faster

    async def _read(self, method: Callable[[_Endpoint], Any], request: Any) -> Any:
        """Call what may be repeated, on each endpoint and once more on the first."""
        for left in range(len(self._endpoints), -1, -1):
            endpoint = await self._pick()
            try:
                return await method(endpoint)(request, timeout=self._timeout, wait_for_ready=True)
            except grpc.aio.AioRpcError as err:
                if err.code() is not grpc.StatusCode.UNAVAILABLE or not left:
                    raise _translate(err) from err
                self._endpoints.append(self._endpoints.pop(self._endpoints.index(endpoint)))
        raise AssertionError("unreachable")

    async def _pick(self) -> _Endpoint:
        """The first connected endpoint; when there is none, the first that connects within the deadline."""
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        for endpoint in self._endpoints:
            if endpoint.ready:
                return endpoint
        waits = [asyncio.ensure_future(e.wait_ready()) for e in self._endpoints]
        try:
            async with self._clock.timeout(self._timeout):
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
        except TimeoutError as err:
            raise errors.Unavailable("no etcd endpoint answers") from err
        finally:
            for wait in waits:
                wait.cancel()


def _compare(condition: Condition) -> Any:
    key = condition.key.encode()
    if isinstance(condition, Absent):
        return rpc.Compare(key=key, target=rpc.Compare.VERSION, version=0)
    if isinstance(condition, Holds):
        return rpc.Compare(key=key, target=rpc.Compare.VALUE, value=condition.value)
    return rpc.Compare(key=key, target=rpc.Compare.MOD, mod_revision=condition.mod_revision)


def _operation(operation: Operation) -> Any:
    key = operation.key.encode()
    if isinstance(operation, Put):
        return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=operation.value, lease=operation.lease))
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def _read_back(key: str) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode()))


def _once_only(conditions: Sequence[Condition]) -> bool:
    """Whether a second effect is impossible: something is compared that no write leaves as it was."""
    kinds = {type(condition) for condition in conditions}
    return not conditions or (Unchanged in kinds and Absent not in kinds)


def _took_effect(operation: Operation, current: KeyValue | None) -> bool:
    if isinstance(operation, Put):
        return current is not None and current.value == operation.value
    return current is None


def _outcome(answer: Any, conditions: Sequence[Condition]) -> Outcome:
    if answer.succeeded:
        return Outcome(True, answer.header.revision)
    return Outcome(False, answer.header.revision, _current(answer, [c.key for c in conditions]))


def _current(answer: Any, keys: Sequence[str]) -> dict[str, KeyValue | None]:
    found: dict[str, KeyValue | None] = {}
    for key, response in zip(keys, answer.responses, strict=True):
        kvs = response.response_range.kvs
        found[key] = KeyValue(key, kvs[0].value, kvs[0].mod_revision) if kvs else None
    return found


def _event(event: Any) -> StoreEvent:
    kv = event.kv
    return StoreEvent(kv.key.decode(), None if event.type else kv.value, kv.mod_revision)


_ERRORS: dict[grpc.StatusCode, type[errors.ApiError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Timeout,
    grpc.StatusCode.OUT_OF_RANGE: errors.Expired,  # compacted: no revision of the future is ever asked for
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooManyRequests,
    grpc.StatusCode.UNAUTHENTICATED: errors.InternalError,  # the api-server's certificate, not the caller's
}


def _translate(err: grpc.aio.AioRpcError) -> errors.ApiError:
    return _ERRORS.get(err.code(), errors.InternalError)(err.details() or err.code().name)
