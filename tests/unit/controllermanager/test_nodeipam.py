"""The controller of the nodes' address ranges, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import (
    NODES,
)
from kubelab.client.events import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.informers import SharedInformers
from kubelab.controllermanager.nodeipam.cidrpool import CidrPool
from kubelab.controllermanager.nodeipam.controller import NodeIpamController
from tests.support import objects as make
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import node_of


async def test_every_node_gets_its_own_range_and_keeps_it_over_a_restart(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("old", pod_cidr="10.244.1.0/24"), *(make.node(f"n{n}") for n in range(5)))
    async with running(server, "nodeipam"):
        await server.until(lambda: all(n.spec.podCIDR for n in server.objects(NODES)))
    before = {n.metadata.name: n.spec.podCIDR for n in server.objects(NODES)}
    server.add(make.node("late"))
    async with running(server, "nodeipam"):
        await server.until(lambda: node_of(server, "late").spec.podCIDR)
    after = {n.metadata.name: n.spec.podCIDR for n in server.objects(NODES)}
    assert before.items() <= after.items()
    assert len(set(after.values())) == 7
    assert after["old"] == "10.244.1.0/24"


async def test_a_new_lead_knows_nothing_of_the_ranges_that_an_earlier_one_had_in_mind() -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    pool = CidrPool("10.244.0.0/22", 24)
    pool.take("moved")  # which could not be written: others led then, and decided otherwise
    server.add(make.node("fresh"), make.node("kept", pod_cidr="10.244.0.0/24"))
    server.add(make.node("moved", pod_cidr="10.244.1.0/24"))
    client = server.client()
    informers = SharedInformers(client, clock=clock, log=structlog.get_logger(), registry=CollectorRegistry())
    context = ControllerContext(
        config=ControllerManagerConfig(name="controller-manager@test"),
        client=client,
        informers=informers,
        queue=WorkQueue(clock=clock),
        recorder=lambda component: EventRecorder(client, component),
        clock=clock,
        log=structlog.get_logger(),
    )
    controller = NodeIpamController(context, pool)
    async with tasks.running(informers.run()):
        await clock.settle()
        async with tasks.running(controller.run()):
            await clock.settle()
    assert node_of(server, "fresh").spec.podCIDR == "10.244.2.0/24"
    pool.check_invariants()


async def test_a_range_whose_writing_was_not_heard_is_not_given_to_another(running: Run) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Timeout("too late"), verb="update", resource="nodes", after=True)
    server.add(*(make.node(f"n{n}") for n in range(4)))
    async with running(server, "nodeipam"):
        await server.until(lambda: all(n.spec.podCIDR for n in server.objects(NODES)))
    assert len({n.spec.podCIDR for n in server.objects(NODES)}) == 4
