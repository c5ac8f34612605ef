"""etcd's members: a channel to each, and which of them is asked.

With several members, one that does not answer for two seconds is left for another: its process may be frozen, or cut
off from the others, and neither ends a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from aetcd import rpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.etcdconvert import NO_ANSWER, no_leader, translate
from kubelab.rpc.channels import ETCD_KEEPALIVE, TLSIdentityFiles, open_channel, reconnect
from kubelab.rpc.endpointhealth import EndpointHealth

# A dead peer is noticed within seconds, and a connection is tried again every two seconds at the latest.
_OPTIONS = (
    *ETCD_KEEPALIVE,
    *reconnect(100, 500, 2_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
READ_SECONDS = 2.0  # before another member is asked
TOGETHER_SECONDS = 4.0  # for all of them, elections included; then another api-server may have more luck
CONNECT_SECONDS = 1.0  # before a member that owes answers is asked after all
PAUSES = ExponentialBackoff(0.05, 0.4)  # after every member has refused

HAS_LEADER = (("hasleader", "true"),)  # a member that lost its leader refuses at once, and ends watches


@dataclass(frozen=True, slots=True)
class EtcdTLS:
    """Paths of PEM files, which are renewed from time to time."""

    ca: Path
    certificate: Path
    key: Path


class Member:
    """One member: its channel and the methods that are used."""

    def __init__(self, address: str, files: TLSIdentityFiles | None, clock: Clock) -> None:
        self.address = address
        self.health = EndpointHealth(clock)
        self.watches: set[Any] = set()  # every open call
        self._files = files
        self._open()

    def _open(self) -> None:
        self._identity = self._files.current() if self._files else None
        self.channel = open_channel(self.address, self._identity, options=_OPTIONS)
        self.range = self._unary("KV/Range", rpc.RangeResponse)
        self.txn = self._unary("KV/Txn", rpc.TxnResponse)
        self.compact = self._unary("KV/Compact", rpc.CompactionResponse)
        self.lease_grant = self._unary("Lease/LeaseGrant", rpc.LeaseGrantResponse)
        self.lease_revoke = self._unary("Lease/LeaseRevoke", rpc.LeaseRevokeResponse)
        self.lease_keep_alive = self._stream("Lease/LeaseKeepAlive", rpc.LeaseKeepAliveResponse)
        self.watch = self._stream("Watch/Watch", rpc.WatchResponse)
        self.alarm = self._unary("Maintenance/Alarm", rpc.AlarmResponse)
        self.status = self._unary("Maintenance/Status", rpc.StatusResponse)
        self.defragment = self._unary("Maintenance/Defragment", rpc.DefragmentResponse)

    def renew(self) -> None:
        """Open the channel anew where it is not connected and the certificate has been renewed.

        The old one is left to its calls, which fail by themselves: closing it would cancel the tasks that await them.
        """
        if self._files is None or self.channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        if self._files.current() is not self._identity:
            self._open()

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
            with self.health.calling():
                return await method(request, timeout=seconds, wait_for_ready=True, metadata=HAS_LEADER)
        except grpc.aio.AioRpcError as err:
            if err.code() not in NO_ANSWER:
                self.health.responded()
            raise

    def leave(self) -> None:
        """Ask it nothing, as long as others answer; its watches end."""
        self.health.suspect()
        for call in self.watches:
            call.cancel()

    async def wait_ready(self) -> Member:
        await self.channel.channel_ready()
        return self


def _serialize(message: Any) -> bytes:
    return message.SerializeToString()


class Members:
    """``addresses`` are ``host:port``. ``timeout`` is the deadline of a call in seconds, where there is one member."""

    def __init__(self, addresses: Sequence[str], tls: EtcdTLS | None, clock: Clock, timeout: float) -> None:
        files = TLSIdentityFiles(tls.ca, tls.certificate, tls.key) if tls else None
        self.all = [Member(address, files, clock) for address in addresses]  # the one that is asked first comes first
        self.several = len(self.all) > 1
        self._clock = clock
        self.timeout = timeout

    async def close(self) -> None:
        for member in self.all:
            await member.channel.close()

    @property
    def silent(self) -> bool:
        """Say whether there are several and every one owes an answer for more than a second."""
        return self.several and all(member.health.silent for member in self.all)

    def until(self) -> float:
        """When to give up a request that begins now, by the monotonic clock."""
        return self._clock.monotonic() + (min(TOGETHER_SECONDS, self.timeout) if self.several else self.timeout)

    async def read(self, method: Callable[[Member], Any], request: Any) -> Any:
        """Call what may be repeated, on one member after the other; on the only one twice, if it answers."""
        tries = 0
        until = self.until()
        while True:
            member = await self.pick(max(PAUSES.first, until - self._clock.monotonic()))
            left = max(PAUSES.first, until - self._clock.monotonic())
            try:
                return await member.ask(method(member), request, min(left, READ_SECONDS) if self.several else left)
            except grpc.aio.AioRpcError as err:
                tries += 1
                if err.code() not in NO_ANSWER:
                    raise translate(err) from err
                self.leave(member)
                if self._clock.monotonic() + PAUSES.first > until or not self._may_answer(err, tries):
                    if self.several:
                        raise errors.Unavailable(err.details() or err.code().name) from err
                    raise translate(err) from err
                await self.pause(tries)

    def _may_answer(self, err: grpc.aio.AioRpcError, tries: int) -> bool:
        """Say whether it is worth while to ask again after so many tries."""
        if self.several or no_leader(err):
            return True
        return err.code() is grpc.StatusCode.UNAVAILABLE and tries < 2

    async def pause(self, tries: int) -> None:
        """Wait before a repetition, once every member was asked."""
        rounds = tries // len(self.all)
        if rounds:
            await self._clock.sleep(PAUSES.delay(rounds))

    def leave(self, member: Member) -> None:
        """Prefer the others from now on."""
        if self.several:
            self.all.remove(member)
            self.all.append(member)
            member.leave()

    async def pick(self, seconds: float = TOGETHER_SECONDS) -> Member:
        """The first connected member that owes no answer; when there is none, the first that connects in time."""
        for member in self.all:
            member.renew()
        if not self.several:
            return self.all[0]
        sure = [member for member in self.all if not member.health.silent]
        for member in sure:
            if member.ready:
                return member
        doubtful = [member for member in self.all if member.health.silent and member.ready]
        if not doubtful:
            member = await self._first(self.all, min(seconds, self.timeout))
        else:
            member = (await self._first(sure, min(seconds, CONNECT_SECONDS)) if sure else None) or doubtful[0]
        if member is None:
            raise errors.Unavailable("no etcd endpoint answers")
        return member

    async def _first(self, members: Sequence[Member], seconds: float) -> Member | None:
        """The first that connects in time."""
        waits = [asyncio.ensure_future(member.wait_ready()) for member in members]
        try:
            async with self._clock.timeout(seconds):
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
        except TimeoutError:
            return None
        finally:
            for wait in waits:
                wait.cancel()
