"""Clients of two api-servers while one of them ends, dies, or freezes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncGenerator

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.errors import AlreadyExists, ApiError, Timeout, Unavailable
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from tests.integration.failover.conftest import Plane

NOTICED = 3.0 + 2.0  # seconds: keepalive notices a frozen server within three; the machine may be busy
CLOCK = SystemClock()


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


class Writer:
    """Creates one object after the other, each once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.written: list[str] = []
        self.failed: dict[str, ApiError] = {}
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        for number in itertools.count():
            name = f"number-{number}"
            try:
                await self._client.create(config_map(name), "default")
                self.written.append(name)
            except ApiError as err:
                self.failed[name] = err
            async with self._moved:
                self._moved.notify_all()

    async def more(self, count: int, *, within: float = 30.0) -> None:
        goal = len(self.written) + count
        async with asyncio.timeout(within), self._moved:
            await self._moved.wait_for(lambda: len(self.written) >= goal)


@contextlib.asynccontextmanager
async def writing(client: Client) -> AsyncGenerator[Writer]:
    writer = Writer(client)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run(), name="writer")
        await writer.more(5)
        yield writer
        task.cancel()


@contextlib.asynccontextmanager
async def informed(client: Client) -> AsyncGenerator[Informer[core_pb2.ConfigMap]]:
    informer = Informer(client, CONFIG_MAPS)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run(), name="informer")
        await informer.wait_synced()
        yield informer
        task.cancel()


async def told(informer: Informer[core_pb2.ConfigMap], name: str, *, within: float) -> None:
    """Wait until the informer knows an object."""
    seen = asyncio.Event()
    informer.add_handler(on_add=lambda obj: seen.set() if obj.metadata.name == name else None)
    async with asyncio.timeout(within):
        await seen.wait()


async def test_a_server_that_ends_loses_no_request_and_no_watch(plane: Plane) -> None:
    """Not even a write: who is refused at the door asks the other server, without being told by the caller."""
    first = plane.servers[0]
    client, watcher = await plane.client(), await plane.client()
    async with writing(client) as writer, informed(watcher) as informer:
        first.signal(signal.SIGTERM)
        assert await first.ended() == 0
        await writer.more(5)
        await told(informer, writer.written[-1], within=2)
        assert informer.relists == 1
        first.start()
        await plane.up(first)
        plane.servers[1].signal(signal.SIGTERM)
        assert await plane.servers[1].ended() == 0
        await writer.more(5)
        await told(informer, writer.written[-1], within=2)
        assert informer.relists == 1, "a server that has just begun remembers all that is younger than the bookmark"
    assert not writer.failed


async def test_a_server_that_is_killed_costs_at_most_the_write_that_it_had(plane: Plane) -> None:
    first = plane.servers[0]
    client, watcher = await plane.client(), await plane.client()
    async with writing(client) as writer, informed(watcher) as informer:
        first.signal(signal.SIGKILL)
        await writer.more(5, within=5)
        await told(informer, writer.written[-1], within=2)
        assert informer.relists == 1
    assert len(writer.failed) <= 1
    assert all(isinstance(err, Unavailable) for err in writer.failed.values())


async def test_a_frozen_server_is_noticed_and_others_are_asked_meanwhile(plane: Plane) -> None:
    first = plane.servers[0]
    client, watcher = await plane.client(), await plane.client()
    async with writing(client) as writer, informed(watcher) as informer:
        first.signal(signal.SIGSTOP)
        began = CLOCK.monotonic()
        await writer.more(1)
        assert CLOCK.monotonic() - began < NOTICED
        await told(informer, writer.written[-1], within=NOTICED)
        assert informer.relists == 1
        await writer.more(20, within=5)
    assert len(writer.failed) <= 1
    assert all(isinstance(err, Unavailable | Timeout) for err in writer.failed.values())


async def test_a_read_of_a_frozen_server_is_answered_by_the_other(plane: Plane) -> None:
    client = await plane.client()
    await client.create(config_map("one"), "default")
    plane.servers[0].signal(signal.SIGSTOP)
    async with asyncio.timeout(NOTICED):
        waiting = asyncio.ensure_future(client.get(CONFIG_MAPS, "one", "default"))
        assert (await waiting).metadata.name == "one"


async def test_whoever_makes_a_failed_write_again_has_it_written_once(plane: Plane) -> None:
    client = await plane.client()
    await client.create(config_map("before"), "default")
    plane.servers[0].signal(signal.SIGSTOP)
    with pytest.raises((Unavailable, Timeout)):
        await client.create(config_map("one"), "default")
    with contextlib.suppress(AlreadyExists):
        await client.create(config_map("one"), "default")
    plane.servers[0].signal(signal.SIGCONT)  # it does now what it was asked for, and finds it done
    names = [c.metadata.name for c in (await client.list(CONFIG_MAPS, "default")).items]
    assert names == ["before", "one"]
