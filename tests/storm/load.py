"""Clients at work until they are cancelled, and their answers, which :mod:`tests.support.history` checks.

Six writers raise three counters by compare-and-swap. All of them write the same bytes on purpose: an outcome that was
guessed from the stored value would be wrong. Two creators make ConfigMaps, each with a name of its own, and read what
the other one has made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import AlreadyExists, ApiError, Conflict, NotFound
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver
from tests.support.history import Kind, Op, OpOutcome

COUNTERS = ("counter-a", "counter-b", "counter-c")
WRITERS, CREATORS = 6, 2
LABEL = "kubelab.storm/made"
CALL_SECONDS = 3.0
PAUSE_SECONDS = (0.02, 0.1)


class Work:
    """Counters and objects in one namespace. ``ops`` grows as clients work."""

    def __init__(self, driver: ClusterDriver, namespace: str, clock: Clock) -> None:
        self._driver, self._namespace, self._clock = driver, namespace, clock
        self.ops: list[Op] = []
        self._made: list[str] = []

    async def make(self, client: Client) -> None:
        """Create every counter, at 0."""
        for name in COUNTERS:
            await self._create("storm", client, name)

    async def run(self) -> None:
        """Work until cancelled."""
        works = [(f"writer-{n}", self._raise) for n in range(WRITERS)]
        works += [(f"creator-{n}", self._make_and_read) for n in range(CREATORS)]
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for name, work in works:
                client = await stack.enter_async_context(
                    Client.from_kubeconfig(
                        self._driver.kubeconfig, caller=name, clock=self._clock, context=self._driver.name
                    )
                )
                group.create_task(work(name, client), name=name)

    async def final(self, client: Client) -> dict[str, int]:
        """The revision of everything that is there, by a consistent read."""
        values: dict[str, int] = {}
        async for page in client.pages(CONFIG_MAPS, self._namespace, label_selector=LABEL):
            values |= {obj.metadata.name: int(obj.metadata.resourceVersion) for obj in page.items}
        return values

    async def _raise(self, writer: str, client: Client) -> None:
        dice = random.Random(writer)
        while True:
            counter = await self._read(writer, client, dice.choice(COUNTERS))
            if counter is not None:
                base = int(counter.metadata.resourceVersion)
                counter.data["value"] = str(int(counter.data["value"]) + 1)
                await self._record(writer, Kind.UPDATE, counter.metadata.name, client.update(counter), base=base)
            await self._clock.sleep(dice.uniform(*PAUSE_SECONDS))

    async def _make_and_read(self, creator: str, client: Client) -> None:
        dice = random.Random(creator)
        number = 0
        while True:
            number += 1
            await self._create(creator, client, f"{creator}-{number:06}")
            await self._read(creator, client, dice.choice(self._made[-200:]))
            await self._clock.sleep(dice.uniform(*PAUSE_SECONDS))

    async def _create(self, who: str, client: Client, name: str) -> None:
        obj = core_pb2.ConfigMap(data={"value": "0"})
        obj.metadata.name = name
        obj.metadata.labels[LABEL] = "yes"
        self._made.append(name)
        await self._record(who, Kind.CREATE, name, client.create(obj, self._namespace))

    async def _read(self, who: str, client: Client, name: str) -> core_pb2.ConfigMap | None:
        return await self._record(who, Kind.READ, name, client.get(CONFIG_MAPS, name, self._namespace))

    async def _record(
        self, who: str, kind: Kind, name: str, call: Awaitable[core_pb2.ConfigMap], *, base: int = 0
    ) -> core_pb2.ConfigMap | None:
        """Make a call and record its outcome, also when it is cancelled."""
        began, outcome, revision = self._clock.monotonic(), OpOutcome.UNKNOWN, 0
        try:
            async with self._clock.timeout(CALL_SECONDS):
                obj = await call
            outcome, revision = OpOutcome.DONE, int(obj.metadata.resourceVersion)
        except NotFound:
            outcome = OpOutcome.DONE if kind is Kind.READ else OpOutcome.REFUSED
        except (Conflict, AlreadyExists):
            outcome = OpOutcome.REFUSED
        except (ApiError, TimeoutError):
            outcome = OpOutcome.UNKNOWN
        else:
            return obj
        finally:
            self.ops.append(Op(who, kind, name, outcome, base, revision, began, self._clock.monotonic()))
        return None
