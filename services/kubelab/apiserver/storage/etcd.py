"""etcd v3, over aetcd's generated messages.

Reads are repeated on another member. A write that was not answered is settled by its receipt
(:mod:`kubelab.apiserver.storage.receipts`): it took effect, or it never will and is sent again, or the caller learns
that its outcome is unknown.

While a watch is quiet, its member is asked for something that it can only answer together with the majority; it is
left, and the watch ends, when it cannot. Pings would not tell (a member that is cut off answers them) and etcd takes
more than one in five seconds as an attack.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import grpc
from aetcd import rpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage import etcdquota
from kubelab.apiserver.storage.etcdconvert import (
    REFUSED,
    bytes_of,
    current_of,
    event_of,
    no_leader,
    no_space,
    text_of,
    transaction,
    translate,
)
from kubelab.apiserver.storage.members import HAS_LEADER, READ_SECONDS, EtcdTLS, Member, Members
from kubelab.apiserver.storage.receipts import Receipt, Receipts
from kubelab.apiserver.storage.store import Condition, Delete, KeyValue, Operation, Outcome, Page, StoreEvent

__all__ = ["EtcdStore", "EtcdTLS"]

WRITE_SECONDS = 3.0  # before it is settled elsewhere what became of a write
QUIET_SECONDS = 1.5  # of a watch, before its member is asked whether it is still one of the majority

T = TypeVar("T")

_EVERYTHING = b"\0"
_REVISION = rpc.RangeRequest(
    key=_EVERYTHING, count_only=True
)  # a key that is never written: only the answer's header counts


class EtcdStore:
    """A :class:`~kubelab.apiserver.storage.store.Store` on an etcd cluster.

    ``endpoints`` are ``host:port``. ``timeout`` is the deadline of one call in seconds, where there is one endpoint.
    """

    def __init__(
        self, endpoints: Sequence[str], *, clock: Clock, tls: EtcdTLS | None = None, timeout: float = 10.0
    ) -> None:
        self._members = Members(endpoints, tls, clock, timeout)
        self._receipts = Receipts(self._members, clock)
        self._clock = clock

    async def close(self) -> None:
        await self._members.close()

    async def range(
        self, start: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        request = rpc.RangeRequest(
            key=bytes_of(start), range_end=bytes_of(end), limit=limit, revision=revision, keys_only=keys_only
        )
        answer = await self._members.read(lambda member: member.range, request)
        items = [KeyValue(text_of(kv.key), kv.value, kv.mod_revision) for kv in answer.kvs]
        return Page(items, answer.more, answer.count, answer.header.revision)

    async def revision(self) -> int:
        answer = await self._members.read(lambda member: member.range, _REVISION)
        return answer.header.revision

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        try:
            return await self._write(conditions, operations)
        except errors.ApiError as err:
            if not errors.out_of_space(err) or not all(isinstance(o, Delete) for o in operations):
                raise
        return await self._write_bare(conditions, operations)

    async def _write(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        """Send a transaction until its outcome is known. Raises not_executed when it surely was not carried out, and
        Unavailable or Timeout when that stays unknown."""
        tries = 0
        until = self._members.until()
        await self._look_before()
        while True:
            receipt = await self._ready(self._receipts.take())
            result = await self._attempt(receipt, conditions, operations)
            if isinstance(result, Outcome):
                return result
            if self._clock.monotonic() > until:
                raise errors.not_executed(result.message) from result
            tries += 1
            await self._members.pause(tries)

    async def _attempt(
        self, receipt: Receipt, conditions: Sequence[Condition], operations: Sequence[Operation]
    ) -> Outcome | errors.ApiError:
        """Send a transaction once; gives the error when it was not carried out and never will be."""
        conditions = [*conditions, receipt.condition()]
        request = transaction(conditions, [*operations, receipt.operation()])
        member = await self._ready(self._members.pick())
        try:
            answer = await member.ask(
                member.txn, request, WRITE_SECONDS if self._members.several else self._members.timeout
            )
        except grpc.aio.AioRpcError as err:
            if no_leader(err):
                self._receipts.give_back(receipt, receipt.revision)
                self._members.leave(member)
                return translate(err)
            if err.code() in REFUSED and not no_space(err):
                self._receipts.give_back(receipt, receipt.revision)
                raise translate(err) from err
            if not no_space(err):
                self._members.leave(member)
            return await self._settle(receipt, err)
        revision = answer.header.revision
        if answer.succeeded:
            self._receipts.give_back(receipt, revision)
            return Outcome(True, revision)
        current = current_of(answer, conditions)
        there = current.pop(receipt.key)
        if receipt.untouched(there):
            self._receipts.give_back(receipt, receipt.revision)
            return Outcome(False, revision, current)
        return errors.Unavailable("etcd has lost what this process had written")  # the receipt grew old and was removed

    async def _settle(self, receipt: Receipt, err: grpc.aio.AioRpcError) -> Outcome | errors.ApiError:
        """Find out what became of a transaction that was not answered. Raises its error when that stays unknown."""
        failure = translate(err)
        try:
            revision = await self._receipts.settle(receipt)
        except errors.ApiError as unknown:
            # etcd may have carried out what it refused for want of space: then only this error says that it is unknown
            raise (unknown if errors.out_of_space(failure) else failure) from err
        if revision:
            self._receipts.give_back(receipt, revision)
            return Outcome(True, revision)
        if errors.out_of_space(failure):
            raise failure from err
        return failure

    async def _write_bare(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        """Delete without a receipt: etcd is full, takes nothing new, and can only become emptier."""
        member = await self._ready(self._members.pick())
        try:
            answer = await member.ask(member.txn, transaction(conditions, operations), self._members.timeout)
        except grpc.aio.AioRpcError as err:
            raise translate(err) from err
        if answer.succeeded:
            return Outcome(True, answer.header.revision)
        return Outcome(False, answer.header.revision, current_of(answer, conditions))

    async def _look_before(self) -> None:
        """Send nothing while no member answers: what was not sent is surely not done. Unavailable says so."""
        if self._members.silent:
            await self._ready(self.revision())

    async def _ready(self, preparation: Awaitable[T]) -> T:
        """Do what comes before a write: where that fails, the write was not sent."""
        try:
            return await preparation
        except (errors.Unavailable, errors.Timeout) as err:
            raise errors.not_executed(err.message) from err

    async def watch(self, start_revision: int) -> AsyncIterator[Sequence[StoreEvent]]:
        create = rpc.WatchCreateRequest(key=_EVERYTHING, range_end=_EVERYTHING, start_revision=start_revision)
        member = await self._members.pick()
        call = member.watch(metadata=HAS_LEADER, wait_for_ready=False)
        member.watches.add(call)
        heard = asyncio.Event()
        guard: asyncio.Future[None] | None = None
        try:
            # A call that dies before its metadata is sent leaves its first write waiting for ever (grpc.aio).
            async with self._clock.timeout(READ_SECONDS):
                await call.write(rpc.WatchRequest(create_request=create))
            guard = asyncio.ensure_future(self._guard(member, call, heard))
            async for answer in call:
                member.health.responded()
                heard.set()
                if answer.compact_revision:
                    raise errors.Expired(f"revision {start_revision} has been compacted")
                if answer.canceled:
                    raise errors.Unavailable(answer.cancel_reason or "etcd ended the watch")
                yield [event_of(e) for e in answer.events]  # none in what tells only that the watch is well
        except grpc.aio.AioRpcError as err:
            self._members.leave(member)
            raise translate(err) from err
        except TimeoutError as err:
            self._members.leave(member)
            raise errors.Unavailable(f"{member.address} takes no watch") from err
        except asyncio.InvalidStateError as err:  # written to a call that has ended already
            raise errors.Unavailable("etcd ended the watch") from err
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise  # it is we who are cancelled, and not the call
            raise errors.Unavailable(f"{member.address} does not answer") from None
        finally:
            if guard:
                guard.cancel()
            call.cancel()
            member.watches.discard(call)
        raise errors.Unavailable("etcd ended the watch")

    async def _guard(self, member: Member, call: Any, heard: asyncio.Event) -> None:
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
                self._members.leave(member)
                call.cancel()
                return

    async def full(self) -> bool:
        return await etcdquota.full(self._members)

    async def make_room(self) -> bool:
        return await etcdquota.make_room(self._members)

    async def grant_lease(self, ttl_seconds: int) -> int:
        answer = await self._members.read(lambda member: member.lease_grant, rpc.LeaseGrantRequest(TTL=ttl_seconds))
        return answer.ID

    async def keep_lease(self, lease: int) -> bool:
        member = await self._members.pick()
        seconds = READ_SECONDS if self._members.several else self._members.timeout
        call = member.lease_keep_alive(timeout=seconds, wait_for_ready=True, metadata=HAS_LEADER)
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
        await self._members.read(lambda member: member.lease_revoke, rpc.LeaseRevokeRequest(ID=lease))

    async def compact(self, revision: int) -> None:
        try:
            request = rpc.CompactionRequest(revision=revision)
            await self._members.read(lambda member: member.compact, request)
        except errors.Expired:
            return  # another task was faster
