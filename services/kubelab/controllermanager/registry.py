"""Which controllers there are, made from one configuration and run in one task group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from kubelab.client import workqueue
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.component.config import ConfigError
from kubelab.component.environment import Environment
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.endpoints.controller import EndpointsController
from kubelab.controllermanager.garbagecollector.controller import GarbageCollector
from kubelab.controllermanager.informers import SharedInformers
from kubelab.controllermanager.namespace import NamespaceController
from kubelab.controllermanager.nodeipam import CidrPool, NodeIpamController
from kubelab.controllermanager.nodelifecycle.controller import NodeLifecycleController
from kubelab.controllermanager.nodelifecycle.eviction import TaintEvictionController
from kubelab.controllermanager.podgc import PodGarbageCollector
from kubelab.controllermanager.replication.controller import ReplicationManager

NAMES = (
    "replicationcontroller",
    "endpoints",
    "namespace",
    "nodelifecycle",
    "tainteviction",
    "nodeipam",
    "garbagecollector",
    "podgc",
)

LONGEST_BACKOFF = {
    # Seconds. Whoever waits for a node's silence must not sleep on when an outage of the api-server is over.
    "nodelifecycle": 5.0,  # upstream's --node-monitor-period
    "tainteviction": 5.0,
    "namespace": 60.0,  # upstream's, of the same queue
}


class Controller(Protocol):
    """A loop with a name."""

    @property
    def name(self) -> str: ...

    async def run(self, workers: int) -> None: ...


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
    ) -> None:
        """``writer`` makes the controllers' writes, ``client`` the events: they tell also of what was refused.

        Raises ConfigError for a controller that does not exist, or a cluster CIDR that cannot be divided."""
        self._config, self._env, self._client, self._informers = config, env, client, informers
        self._writer = writer or client
        self._recorders: list[EventRecorder] = []
        self._chosen = [self._make(name) for name in chosen(config.controllers)]

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

    def _queue(self, name: str) -> WorkQueue[str]:
        longest = LONGEST_BACKOFF.get(name, workqueue.MAX_DELAY)
        return WorkQueue(name, clock=self._env.clock, max_delay=longest, registry=self._env.registry)

    def _recorder(self, component: str) -> EventRecorder:
        recorder = EventRecorder(self._client, component, self._env.node, self._env.clock)
        self._recorders.append(recorder)
        return recorder

    def _make(self, name: str) -> _Running:
        config, env, client, informers = self._config, self._env, self._writer, self._informers
        queue, log, clock = self._queue(name), env.log.bind(controller=name), env.clock
        match name:
            case "replicationcontroller":
                controller: Controller = ReplicationManager(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("replication-controller"),
                    clock=clock,
                    log=log,
                )
                workers = config.concurrent_rc_syncs
            case "endpoints":
                controller = EndpointsController(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("endpoint-controller"),
                    log=log,
                    batch_period=config.endpoint_updates_batch_period,
                )
                workers = config.concurrent_endpoint_syncs
            case "namespace":
                controller = NamespaceController(client=client, informers=informers, queue=queue, clock=clock, log=log)
                workers = config.concurrent_namespace_syncs
            case "nodelifecycle":
                controller = NodeLifecycleController(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("node-controller"),
                    clock=clock,
                    log=log,
                    config=config.node_lifecycle,
                )
                workers = config.concurrent_node_syncs
            case "tainteviction":
                controller = TaintEvictionController(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("taint-eviction-controller"),
                    clock=clock,
                    log=log,
                )
                workers = config.concurrent_node_syncs
            case "nodeipam":
                controller = NodeIpamController(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("cidrAllocator"),
                    log=log,
                    pool=_pool(config),
                )
                workers = 1
            case "garbagecollector":
                controller = GarbageCollector(
                    client=client,
                    informers=informers,
                    queue=queue,
                    recorder=self._recorder("garbage-collector-controller"),
                    log=log,
                )
                workers = config.concurrent_gc_syncs
            case _:
                controller = PodGarbageCollector(
                    client=client, informers=informers, queue=queue, clock=clock, log=log, config=config.pod_gc
                )
                workers = 1
        return _Running(controller, workers)


def _pool(config: ControllerManagerConfig) -> CidrPool:
    try:
        return CidrPool(config.cluster_cidr, config.node_cidr_mask_size)
    except ValueError as err:
        raise ConfigError(f"clusterCidr: {err}") from err


def chosen(words: Iterable[str]) -> list[str]:
    """Read upstream's ``--controllers``: ``*`` is all, ``name`` one, ``-name`` not this one. Raises ConfigError."""
    asked = [*words]
    unknown = sorted({word.removeprefix("-") for word in asked} - {"*", *NAMES})
    if unknown:
        raise ConfigError(f"controllers: unknown {', '.join(unknown)}; expected *, or some of {', '.join(NAMES)}")
    return [name for name in NAMES if f"-{name}" not in asked and (name in asked or "*" in asked)]
