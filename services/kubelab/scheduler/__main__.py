"""The scheduler: config → client → informers → queue and cache → the loop, which runs while this process leads."""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.core.pods import ACTIVE_PODS
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.client.informer import Informer
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.component.leading import elector
from kubelab.scheduler.algorithm import Algorithm
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.config import SchedulerConfig
from kubelab.scheduler.eventhandlers import EventHandlers
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.metrics import SchedulerMetrics
from kubelab.scheduler.plugins.registry import IN_TREE, Registry
from kubelab.scheduler.podcondition import PodConditionUpdater
from kubelab.scheduler.preemptor import Preemptor
from kubelab.scheduler.profile import frameworks
from kubelab.scheduler.queue import SchedulingQueue
from kubelab.scheduler.scheduler import Scheduler
from kubelab.scheduler.waitingpods import WaitingPods

T = TypeVar("T", bound=Message)


async def run(config: SchedulerConfig, env: Environment) -> None:
    """Serve health and metrics, and work until told to stop."""
    async with env.client() as client, env.serve():
        await work(config, env, client)


async def work(config: SchedulerConfig, env: Environment, client: Client, registry: Registry = IN_TREE) -> None:
    """Watch pods and nodes, lead if no other scheduler does, and give pods their nodes until cancelled.

    ``registry`` has the plugins that the configuration's profiles may name.
    """
    async with asyncio.TaskGroup() as group:
        cache = Cache()
        election = elector(config.leader_election, "kube-scheduler", env, client)
        writer = client.fenced(election.fence) if election else client
        waiting = WaitingPods(env.clock)
        profiles = frameworks(config, Handle(writer, waiting), registry)
        queue = SchedulingQueue(
            env.clock,
            initial_backoff=config.pod_initial_backoff,
            max_backoff=config.pod_max_backoff,
            max_unschedulable=config.pod_max_unschedulable,
            pre_enqueue=lambda pod: profiles[pod.pod.spec.schedulerName].pre_enqueue(pod),
        )
        metrics = SchedulerMetrics(env.registry)
        metrics.observe(queue, cache)
        recorders = {name: EventRecorder(client, name, env.node, env.clock) for name in profiles}
        # Ended pods take no room: the server leaves them out, and the watch shows one that ends as deleted.
        pods = informer(env, client, scheme.PODS, field_selector=ACTIVE_PODS)
        nodes = informer(env, client, scheme.NODES)
        services = informer(env, client, scheme.SERVICES)
        controllers = informer(env, client, scheme.REPLICATION_CONTROLLERS)
        namespaces = informer(env, client, scheme.NAMESPACES)
        budgets = informer(env, client, scheme.POD_DISRUPTION_BUDGETS)
        workloads = [informer(env, client, scheme.REPLICA_SETS), informer(env, client, scheme.STATEFUL_SETS)]
        handlers = EventHandlers(
            pods=pods,
            nodes=nodes,
            services=services,
            controllers=controllers,
            queue=queue,
            cache=cache,
            namespaces=namespaces,
            budgets=budgets,
            waiting=waiting,
            scheduler_names=profiles.keys(),
            workloads=workloads,
        )
        scheduler = Scheduler(
            queue=queue,
            cache=cache,
            algorithm=Algorithm(percentage=config.percentage_of_nodes_to_score),
            frameworks=profiles,
            waiting=waiting,
            recorders=recorders,
            conditions=PodConditionUpdater(writer, env.clock, env.log),
            preemptor=Preemptor(writer, waiting, env.clock, env.log),
            clock=env.clock,
            log=env.log,
            metrics=metrics,
            parallel_bindings=config.parallel_bindings,
            assumed_pod_ttl=config.assumed_pod_ttl,
        )

        async def lead() -> None:
            await handlers.wait_synced()
            env.log.info("scheduling", profiles=[*profiles], **cache.statistics())
            await scheduler.run()

        for source in (pods, nodes, services, controllers, namespaces, budgets, *workloads):
            group.create_task(source.run(), name=f"informer-{source.name}")
        for name, recorder in recorders.items():
            group.create_task(recorder.run(), name=f"events-{name}")
        if election:
            group.create_task(election.run(lead), name="leader-election")
        else:
            group.create_task(lead(), name="scheduler")


def informer(env: Environment, client: Client, resource: Resource[T], *, field_selector: str = "") -> Informer[T]:
    """Watch one resource with this process's clock, log and metrics."""
    return Informer(
        client, resource, field_selector=field_selector, clock=env.clock, log=env.log, registry=env.registry
    )


COMPONENT = Component(name="scheduler", config=SchedulerConfig, run=run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
