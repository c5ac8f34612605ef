"""The leader among etcd's members, and the members that are full. etcd announces no change of these: the supervisor
queries it while a client watches the status.

Each member reports its own view. A frozen one does not answer, and one that is cut off may still claim to lead: of
those that claim it, the one with the latest term leads. https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from aetcd import rpc

from kubelab.apimachinery.clock import Clock
from kubelab.supervisor.health import HealthTarget

ASK_SECONDS = 0.5  # for one member to answer
LOOK_SECONDS = 0.5  # between two queries, while a client watches
_STATUS = "/etcdserverpb.Maintenance/Status"


class EtcdLeader:
    """``members`` are where each is asked, by process. ``changed`` is called when another one leads."""

    def __init__(self, members: Mapping[str, HealthTarget], clock: Clock, changed: Callable[[], None]) -> None:
        self._members, self._clock, self._changed = members, clock, changed
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._watchers = 0
        self._watched = asyncio.Event()
        self.name = ""  # the last known leader
        self.full: frozenset[str] = frozenset()  # members whose quota is reached

    async def run(self) -> None:
        """Query the members again and again while a client watches; until cancelled."""
        try:
            while True:
                await self._watched.wait()
                await self.look()
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            for channel in self._channels.values():
                await channel.close()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Call back at changes during the body."""
        self._watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()

    async def look(self) -> str:
        """Ask every member; gives the process that leads, ``""`` when none does."""
        claims = await asyncio.gather(*(self._claim(name) for name in self._members))
        terms = {name: term for name, (term, _) in zip(self._members, claims, strict=True) if term}
        leader = max(terms, key=lambda name: terms[name]) if terms else ""
        full = frozenset(name for name, (_, alarm) in zip(self._members, claims, strict=True) if alarm)
        if (leader, full) != (self.name, self.full):
            self.name, self.full = leader, full
            self._changed()
        return leader

    async def _claim(self, name: str) -> tuple[int, bool]:
        """The term in which a member leads, 0 when it does not or does not answer; and whether its quota is reached."""
        try:
            call: Any = self._channel(name).unary_unary(
                _STATUS, rpc.StatusRequest.SerializeToString, rpc.StatusResponse.FromString
            )
            answer = await call(rpc.StatusRequest(), timeout=ASK_SECONDS)
        except (grpc.aio.AioRpcError, OSError):
            return 0, False
        # each of these is "memberID:… alarm:NOSPACE"
        full = any(alarm.startswith(f"memberID:{answer.header.member_id} ") for alarm in answer.errors)
        return (int(answer.raftTerm) if answer.leader == answer.header.member_id else 0), full

    def _channel(self, name: str) -> grpc.aio.Channel:
        """The channel to a member, opened at the first use; OSError when a certificate cannot be read."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = self._members[name].channel()
        return channel
