"""The chosen controllers, made from one configuration and run in one task group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.component.environment import Environment
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.descriptors import (
    DESCRIPTORS,
    Controller,
    ControllerDescriptor,
    chosen,
)
from kubelab.controllermanager.informers import SharedInformers


@dataclass(frozen=True, slots=True)
class _Running:
    controller: Controller
    workers: int


class Controllers:
    """All controllers of the process."""

    def __init__(
        self,
        config: ControllerManagerConfig,
        env: Environment,
        client: Client,
        informers: SharedInformers,
        *,
        writer: Client | None = None,
        descriptors: Sequence[ControllerDescriptor] = DESCRIPTORS,
    ) -> None:
        """``writer`` makes the controllers' writes, ``client`` the events: they tell also of what was refused.

        Raises ConfigError for a controller that does not exist, or a cluster CIDR that cannot be divided."""
        self._config, self._env, self._client, self._informers = config, env, client, informers
        self._writer = writer or client
        self._recorders: list[EventRecorder] = []
        self._chosen = [self._make(descriptor) for descriptor in chosen(config.controllers, descriptors)]

    async def record_events(self) -> None:
        """Write what the controllers record, until cancelled; also while another process leads."""
        async with asyncio.TaskGroup() as group:
            for recorder in self._recorders:
                group.create_task(recorder.run(), name="event-recorder")

    async def run(self) -> None:
        """Control until cancelled. Nothing is decided before every cache is complete."""
        await self._informers.wait_synced()
        self._env.log.info("controlling", controllers=[running.controller.name for running in self._chosen])
        async with asyncio.TaskGroup() as group:
            for running in self._chosen:
                group.create_task(running.controller.run(running.workers), name=running.controller.name)

    def _recorder(self, component: str) -> EventRecorder:
        recorder = EventRecorder(self._client, component, self._env.node, self._env.clock)
        self._recorders.append(recorder)
        return recorder

    def _make(self, descriptor: ControllerDescriptor) -> _Running:
        env, name = self._env, descriptor.name
        queue = WorkQueue[str](name, clock=env.clock, max_delay=descriptor.longest_backoff, registry=env.registry)
        context = ControllerContext(
            config=self._config,
            client=self._writer,
            informers=self._informers,
            queue=queue,
            recorder=self._recorder,
            clock=env.clock,
            log=env.log.bind(controller=name),
        )
        return _Running(descriptor.build(context), descriptor.workers(self._config))
