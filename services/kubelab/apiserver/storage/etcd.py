"""etcd v3, over aetcd's generated messages: TLS, several endpoints, deadlines.

Reads are repeated on another endpoint. A write whose outcome is unknown is looked up first, and repeated only where
its conditions make a second effect impossible (every one compares a revision that can never come back).

With several endpoints, one that does not answer for two seconds is left for another: its process may be frozen, or cut
off from the others, and neither ends a connection. While a watch is quiet, its member is asked for something that it
can only answer together with the majority; it is left, and the watch ends, when it cannot. Pings would not tell (a
member that is cut off answers them) and etcd takes more than one in five seconds as an attack.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from aetcd import rpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.etcdwords import (
    bytes_of,
    compare,
    current_of,
    event_of,
    first_one,
    once_only,
    operation_of,
    outcome,
    read_back,
    text_of,
    took_effect,
    translate,
)
from kubelab.apiserver.storage.store import Condition, KeyValue, Operation, Outcome, Page, StoreEvent
from kubelab.client.hearing import Hearing

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
    ("grpc.enable_http_proxy", 0),
)
READ_SECONDS = 2.0  # before another endpoint is asked
TOGETHER_SECONDS = 4.0  # for all of them, elections included; then another api-server may have more luck
WRITE_SECONDS = 3.0  # before it is looked up elsewhere what became of a write
CONNECT_SECONDS = 1.0  # before an endpoint that owes answers is asked after all
QUIET_SECONDS = 1.5  # of a watch, before its member is asked whether it is still one of the majority
FIRST_PAUSE, MAX_PAUSE = 0.05, 0.4  # seconds, after every endpoint has refused

# UNKNOWN is what etcd says when a deadline passes within it: Go's own error, without a code
_NO_ANSWER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)
_HAS_LEADER = (("hasleader", "true"),)  # an etcd member that lost its leader ends the watch instead of going silent
_NO_LEADER = "etcdserver: no leader"  # its own client tells errors of one code apart by these words, too
_EVERYTHING = b"\0"
_REVISION = rpc.RangeRequest(key=_EVERYTHING, count_only=True)  # a key that nobody writes: the answer is its header


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

    def __init__(self, address: str, tls: EtcdTLS | None, clock: Clock) -> None:
        self.address = address
        self.hearing = Hearing(clock)
        self.watches: set[Any] = set()  # every open call
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

    async def ask(self, method: Any, request: Any, seconds: float) -> Any:
        """Call, and remember whether it answered."""
        try:
            with self.hearing.asking():
                return await method(request, timeout=seconds, wait_for_ready=True, metadata=_HAS_LEADER)
        except grpc.aio.AioRpcError as err:
            if err.code() not in _NO_ANSWER:
                self.hearing.heard()
            raise

    def leave(self) -> None:
        """Ask it nothing, as long as others answer; its watches end."""
        self.hearing.doubt()
        for call in self.watches:
            call.cancel()

    async def wait_ready(self) -> _Endpoint:
        await self.channel.channel_ready()
        return self


def _serialize(message: Any) -> bytes:
    return message.SerializeToString()


class EtcdStore:
    """A :class:`~kubelab.apiserver.storage.store.Store` on an etcd cluster.

    ``endpoints`` are ``host:port``. ``timeout`` is the deadline of one call in seconds, where there is one endpoint.
    """

    def __init__(
        self, endpoints: Sequence[str], *, clock: Clock, tls: EtcdTLS | None = None, timeout: float = 10.0
    ) -> None:
        self._endpoints = [_Endpoint(address, tls, clock) for address in endpoints]
        self._several = len(self._endpoints) > 1
        self._clock = clock
        self._timeout = timeout

    async def close(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.channel.close()

    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        request = rpc.RangeRequest(
            key=bytes_of(start), range_end=bytes_of(end), limit=limit, revision=revision, keys_only=keys_only
        )
        answer = await self._read(lambda e: e.range, request)
        items = [KeyValue(text_of(kv.key), kv.value, kv.mod_revision) for kv in answer.kvs]
        return Page(items, answer.more, answer.count, answer.header.revision)

    async def revision(self) -> int:
        answer = await self._read(lambda e: e.range, _REVISION)
        return answer.header.revision

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        request = rpc.TxnRequest(
            compare=[compare(c) for c in conditions],
            success=[operation_of(o) for o in operations],
            failure=[read_back(c.key) for c in conditions],
        )
        tries = 0
        until = self._until()
        await self._look_before()
        while True:
            endpoint = await self._pick()
            try:
                answer = await endpoint.ask(endpoint.txn, request, WRITE_SECONDS if self._several else self._timeout)
            except grpc.aio.AioRpcError as err:
                if err.code() not in _NO_ANSWER:
                    raise translate(err) from err
                self._leave(endpoint)
                if err.details() != _NO_LEADER:
                    return await self._settle(request, conditions, operations, err)
                if self._clock.monotonic() > until:
                    raise errors.nothing_done(_NO_LEADER) from err
                tries += 1
                await self._pause(tries)
            else:
                return outcome(answer, conditions)

    async def _look_before(self) -> None:
        """Send nothing while nobody answers: what was not sent is surely not done. Unavailable says so."""
        if self._several and all(endpoint.hearing.silent for endpoint in self._endpoints):
            try:
                await self.revision()
            except errors.Unavailable as err:
                raise errors.nothing_done(err.message) from err

    async def _settle(
        self, request: Any, conditions: Sequence[Condition], operations: Sequence[Operation], err: grpc.aio.AioRpcError
    ) -> Outcome:
        """Find out what became of a write that was not answered."""
        look = rpc.TxnRequest(success=[read_back(o.key) for o in operations])
        try:
            answer = await self._read(lambda e: e.txn, look)
        except errors.ApiError:
            raise translate(err) from err  # nobody can tell
        current = current_of(answer, [o.key for o in operations])
        if all(took_effect(o, current[o.key]) for o in operations):
            ours = [kv.mod_revision for kv in current.values() if kv is not None]
            return Outcome(True, max(ours, default=answer.header.revision))
        if not once_only(conditions):
            raise translate(err) from err  # a creation may still be on its way, or be created and deleted again
        endpoint = await self._pick()
        try:
            again = await endpoint.ask(endpoint.txn, request, self._timeout)
        except grpc.aio.AioRpcError as second:
            raise translate(second) from err
        found = outcome(again, conditions)
        return found if found.succeeded else first_one(found, operations) or found

    async def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        create = rpc.WatchCreateRequest(key=_EVERYTHING, range_end=_EVERYTHING, start_revision=start_revision)
        endpoint = await self._pick()
        call = endpoint.watch(metadata=_HAS_LEADER, wait_for_ready=False)
        endpoint.watches.add(call)
        heard = asyncio.Event()
        guard: asyncio.Future[None] | None = None
        try:
            # A call that dies before its metadata is sent leaves its first write waiting for ever (grpc.aio).
            async with self._clock.timeout(READ_SECONDS):
                await call.write(rpc.WatchRequest(create_request=create))
            guard = asyncio.ensure_future(self._guard(endpoint, call, heard))
            async for answer in call:
                endpoint.hearing.heard()
                heard.set()
                if answer.compact_revision:
                    raise errors.Expired(f"revision {start_revision} has been compacted")
                if answer.canceled:
                    raise errors.Unavailable(answer.cancel_reason or "etcd ended the watch")
                yield [event_of(e) for e in answer.events]  # none in what tells only that the watch is well
        except grpc.aio.AioRpcError as err:
            self._leave(endpoint)
            raise translate(err) from err
        except TimeoutError as err:
            self._leave(endpoint)
            raise errors.Unavailable(f"{endpoint.address} takes no watch") from err
        except asyncio.InvalidStateError as err:  # written to a call that has ended already
            raise errors.Unavailable("etcd ended the watch") from err
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise  # it is we who are cancelled, and not the call
            raise errors.Unavailable(f"{endpoint.address} does not answer") from None
        finally:
            if guard:
                guard.cancel()
            call.cancel()
            endpoint.watches.discard(call)
        raise errors.Unavailable("etcd ended the watch")

    async def _guard(self, endpoint: _Endpoint, call: Any, heard: asyncio.Event) -> None:
        """End a watch that has gone deaf: who waits for events cannot tell that from peace.

        etcd answers a progress request on the watch's own stream; answers to other calls say nothing of it.
        """
        ask = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
        while True:
            heard.clear()
            await self._clock.sleep(QUIET_SECONDS)
            if heard.is_set():
                continue
            try:
                async with self._clock.timeout(READ_SECONDS):
                    await call.write(ask)
                    await heard.wait()
            except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                self._leave(endpoint)
                call.cancel()
                return

    async def grant_lease(self, ttl_seconds: int) -> int:
        answer = await self._read(lambda e: e.lease_grant, rpc.LeaseGrantRequest(TTL=ttl_seconds))
        return answer.ID

    async def keep_lease(self, lease: int) -> bool:
        endpoint = await self._pick()
        seconds = READ_SECONDS if self._several else self._timeout
        call = endpoint.lease_keep_alive(timeout=seconds, wait_for_ready=True, metadata=_HAS_LEADER)
        try:
            async with self._clock.timeout(seconds):
                await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
                answer = await call.read()
            return answer is not grpc.aio.EOF and answer.TTL > 0
        except grpc.aio.AioRpcError as err:
            raise translate(err) from err
        except (TimeoutError, asyncio.InvalidStateError) as err:
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
        """Call what may be repeated, on one endpoint after the other; on the only one twice, if it answers."""
        tries = 0
        until = self._until()
        while True:
            endpoint = await self._pick()
            left = max(FIRST_PAUSE, until - self._clock.monotonic())
            try:
                return await endpoint.ask(method(endpoint), request, min(left, READ_SECONDS) if self._several else left)
            except grpc.aio.AioRpcError as err:
                tries += 1
                if err.code() not in _NO_ANSWER:
                    raise translate(err) from err
                self._leave(endpoint)
                if self._clock.monotonic() + FIRST_PAUSE > until or not self._may_answer(err, tries):
                    if self._several:
                        raise errors.Unavailable(err.details() or err.code().name) from err
                    raise translate(err) from err
                await self._pause(tries)

    def _may_answer(self, err: grpc.aio.AioRpcError, tries: int) -> bool:
        """Say whether it is worth while to ask again after so many tries."""
        if self._several or err.details() == _NO_LEADER:
            return True
        return err.code() is grpc.StatusCode.UNAVAILABLE and tries < 2

    def _until(self) -> float:
        """When to give up."""
        return self._clock.monotonic() + (min(TOGETHER_SECONDS, self._timeout) if self._several else self._timeout)

    async def _pause(self, tries: int) -> None:
        """Wait before a repetition, once every endpoint was asked."""
        rounds = tries // len(self._endpoints)
        if rounds:
            await self._clock.sleep(min(FIRST_PAUSE * 2 ** (rounds - 1), MAX_PAUSE) * random.uniform(0.5, 1))

    def _leave(self, endpoint: _Endpoint) -> None:
        """Prefer the others from now on."""
        if self._several:
            self._endpoints.remove(endpoint)
            self._endpoints.append(endpoint)
            endpoint.leave()

    async def _pick(self) -> _Endpoint:
        """The first connected endpoint that owes no answer; when there is none, the first that connects."""
        if not self._several:
            return self._endpoints[0]
        sure = [endpoint for endpoint in self._endpoints if not endpoint.hearing.silent]
        for endpoint in sure:
            if endpoint.ready:
                return endpoint
        doubtful = [endpoint for endpoint in self._endpoints if endpoint.hearing.silent and endpoint.ready]
        if not doubtful:
            found = await self._first(self._endpoints, self._timeout)
        else:
            found = (await self._first(sure, CONNECT_SECONDS) if sure else None) or doubtful[0]
        if found is None:
            raise errors.Unavailable("no etcd endpoint answers")
        return found

    async def _first(self, endpoints: Sequence[_Endpoint], seconds: float) -> _Endpoint | None:
        """The first that connects in time."""
        waits = [asyncio.ensure_future(e.wait_ready()) for e in endpoints]
        try:
            async with self._clock.timeout(seconds):
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
        except TimeoutError:
            return None
        finally:
            for wait in waits:
                wait.cancel()
