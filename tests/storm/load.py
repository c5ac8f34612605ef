"""Writers that raise shared counters, each by a client of its own, until they are cancelled."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError, Conflict
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver
from tests.storm.history import Attempt, Outcome

COUNTERS = ("counter-a", "counter-b", "counter-c")
WRITERS = 6
WRITE_SECONDS = 3.0
PAUSE_SECONDS = (0.02, 0.1)


class Counters:
    """The counters in one namespace. ``attempts`` grows as writers work."""

    def __init__(self, driver: ClusterDriver, namespace: str, clock: Clock) -> None:
        self._driver, self._namespace, self._clock = driver, namespace, clock
        self.attempts: list[Attempt] = []

    async def make(self, client: Client) -> None:
        """Create every counter, at 0."""
        for name in COUNTERS:
            counter = core_pb2.ConfigMap(data={"value": "0"})
            counter.metadata.name = name
            await client.create(counter, self._namespace)

    async def run(self) -> None:
        """Write until cancelled."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                client = await stack.enter_async_context(
                    Client.from_kubeconfig(
                        self._driver.kubeconfig, caller=f"writer-{number}", clock=self._clock, context=self._driver.name
                    )
                )
                group.create_task(self._write(f"writer-{number}", client), name=f"writer-{number}")

    async def final(self, client: Client) -> dict[str, int]:
        """Read every counter, by a consistent read."""
        found = {name: await client.get(CONFIG_MAPS, name, self._namespace) for name in COUNTERS}
        return {name: int(counter.data["value"]) for name, counter in found.items()}

    async def _write(self, writer: str, client: Client) -> None:
        dice = random.Random(writer)
        while True:
            name = dice.choice(COUNTERS)
            try:
                async with self._clock.timeout(WRITE_SECONDS):
                    counter = await client.get(CONFIG_MAPS, name, self._namespace)
            except (ApiError, TimeoutError):
                await self._clock.sleep(PAUSE_SECONDS[1])
                continue
            base, value = counter.metadata.resourceVersion, int(counter.data["value"]) + 1
            counter.data["value"] = str(value)
            outcome, revision = Outcome.UNKNOWN, 0
            try:
                async with self._clock.timeout(WRITE_SECONDS):
                    stored = await client.update(counter)
                outcome, revision = Outcome.WRITTEN, int(stored.metadata.resourceVersion)
            except Conflict:
                outcome = Outcome.REFUSED
            except (ApiError, TimeoutError):
                outcome = Outcome.UNKNOWN
            finally:  # also of a writer that is cancelled while its request is under way
                self.attempts.append(Attempt(writer, name, base, value, outcome, revision))
            await self._clock.sleep(dice.uniform(*PAUSE_SECONDS))
