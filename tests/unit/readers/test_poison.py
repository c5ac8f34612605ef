"""The control plane and kube-proxy among objects that no api-server would let in: those of others are served.

Under test an exception that a loop would only log and count ends the component (``strict_bugs``), so these tests also
say that there is none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.scheme import ENDPOINT_SLICES, NODES, PODS, SERVICES
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.component.environment import Environment
from kubelab.component.leading import LeaderElectionConfig
from kubelab.controllermanager import __main__ as controllermanager
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.kubeproxy.conntrack import Conntrack
from kubelab.kubeproxy.metrics import ProxyMetrics
from kubelab.kubeproxy.nft import Nft
from kubelab.kubeproxy.proxier import Proxier
from kubelab.scheduler import __main__ as scheduler
from kubelab.scheduler.config import SchedulerConfig
from tests.fuzz.objects import KINDS, held
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory

HEALTHY = "healthy"


class RecordingNft(Nft):
    def __init__(self) -> None:
        self.transactions: list[str] = []

    async def apply(self, transaction: str) -> None:
        self.transactions.append(transaction)


class NoFlows(Conntrack):
    def forget_stale(self, expected: object) -> int:
        return 0


def poison(server: ApiServerInMemory, seed: int, each: int = 3) -> None:
    """Put some objects of every kind beside the healthy ones; none may be many, or own what is healthy."""
    pick = random.Random(seed)
    for resource in KINDS:
        if resource.plural.endswith("webhookconfigurations"):
            continue  # a webhook that does not answer refuses what is healthy: that is its purpose
        for n in range(each):
            obj: Any = held(pick, resource)
            obj.metadata.uid = f"poison-{resource.plural}-{n}"
            if obj.metadata.namespace == HEALTHY:
                continue
            if isinstance(obj, core_pb2.ReplicationController):
                obj.spec.replicas = min(obj.spec.replicas, 3)
            server.add(obj)


def add_healthy(server: ApiServerInMemory) -> None:
    namespace = core_pb2.Namespace()
    namespace.metadata.name, namespace.status.phase = HEALTHY, "Active"
    rc = make.replication_controller("good", namespace=HEALTHY, replicas=2)
    server.add(namespace, make.node("good-node"), rc, make.service("good", namespace=HEALTHY))


def proxier(server: ApiServerInMemory, nft: Nft) -> list[Coroutine[Any, Any, None]]:
    clock, client = SystemClock(), server.client("kube-proxy")
    services, slices = Informer(client, SERVICES, clock=clock), Informer(client, ENDPOINT_SLICES, clock=clock)
    nodes = Informer(client, NODES, clock=clock)
    made = Proxier(
        services=services,
        slices=slices,
        nodes=nodes,
        queue=WorkQueue(clock=clock),
        nft=nft,
        conntrack=NoFlows(),
        node="good-node",
        clock=clock,
        log=structlog.get_logger(),
        metrics=ProxyMetrics.on(CollectorRegistry()),
    )
    return [services.run(), slices.run(), nodes.run(), made.run()]


def healthy_pods(server: ApiServerInMemory) -> list[core_pb2.Pod]:
    return [pod for pod in server.objects(PODS) if pod.metadata.namespace == HEALTHY]


@pytest.mark.parametrize("seed", range(6))
async def test_the_healthy_are_served_among_the_poisonous(seed: int) -> None:
    server, nft = ApiServerInMemory(), RecordingNft()
    poison(server, seed)
    add_healthy(server)
    manager = ControllerManagerConfig(
        name="controller-manager@test", leader_election=LeaderElectionConfig(leader_elect=False)
    )
    planner = SchedulerConfig(name="scheduler@test", bind_address="unix:", metrics_address="")
    envs = [
        Environment(manager, "controller-manager", make_client=server.client),
        Environment(planner, "scheduler", make_client=server.client),
    ]
    async with envs[0].client() as one, envs[1].client() as two:
        loops = [controllermanager.work(manager, envs[0], one), scheduler.work(planner, envs[1], two)]
        tasks = [asyncio.ensure_future(loop) for loop in (*loops, *proxier(server, nft))]

        def ready() -> bool:
            for task in tasks:
                if task.done():
                    task.result()
            return len(healthy_pods(server)) == 2 and all(pod.spec.nodeName for pod in healthy_pods(server))

        try:
            await server.until(ready)
            for n, pod in enumerate(healthy_pods(server)):
                pod.status.phase, pod.status.podIP = "Running", f"10.244.9.{n + 1}"
                pod.status.conditions.add(type="Ready", status="True")
                server.add(pod)
            await server.until(lambda: ready() and any("10.244.9.2" in told for told in nft.transactions))
            poison(server, seed + 1000)  # and while everything runs
            node = make.node("late-node")
            server.add(node)
            await server.until(lambda: ready() and _cidr(server, "late-node"))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert _cidr(server, "good-node")


def _cidr(server: ApiServerInMemory, name: str) -> str:
    node = server.get(NODES, name)
    return node.spec.podCIDR if node is not None else ""
