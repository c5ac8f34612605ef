"""The table of controllers, and the informers that they share."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import ENDPOINTS, NODES, PODS, Resource
from kubelab.component.config import ConfigError
from kubelab.component.environment import Environment
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllers import Controllers
from kubelab.controllermanager.descriptors import (
    DESCRIPTORS,
    Controller,
    ControllerDescriptor,
    chosen,
)
from kubelab.controllermanager.informers import SharedInformers
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.support.tasks import running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> ApiServerInMemory:
    return ApiServerInMemory(clock=clock)


@pytest.fixture
def informers(server: ApiServerInMemory, clock: FakeClock) -> SharedInformers:
    return SharedInformers(server.client(), clock=clock, log=structlog.get_logger(), registry=CollectorRegistry())


def controllers_of(
    server: ApiServerInMemory, clock: FakeClock, informers: SharedInformers, *rows: ControllerDescriptor
) -> Controllers:
    config = ControllerManagerConfig(name="controller-manager@test")
    env = Environment(config, "controller-manager", clock=clock, make_client=server.client)
    return Controllers(config, env, server.client(), informers, descriptors=rows)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda descriptor: descriptor.name)
def test_every_row_makes_the_controller_that_it_names(
    descriptor: ControllerDescriptor, server: ApiServerInMemory, clock: FakeClock, informers: SharedInformers
) -> None:
    made: list[Controller] = []

    def build(context: ControllerContext) -> Controller:
        made.append(descriptor.build(context))
        return made[-1]

    controllers_of(server, clock, informers, ControllerDescriptor(descriptor.name, build, descriptor.workers))
    assert [controller.name for controller in made] == [descriptor.name]


def test_no_two_rows_have_one_name() -> None:
    names = [descriptor.name for descriptor in DESCRIPTORS]
    assert len({*names}) == len(names)


def test_which_controllers_run() -> None:
    assert chosen(["*"]) == [*DESCRIPTORS]
    assert [descriptor.name for descriptor in chosen(["endpoints"])] == ["endpoints"]
    assert "podgc" not in [descriptor.name for descriptor in chosen(["*", "-podgc"])]
    with pytest.raises(ConfigError, match="unknown nosuch"):
        chosen(["nosuch"])


class NodeLister:
    """A controller from outside of the table."""

    name = "nodelister"

    def __init__(self, context: ControllerContext) -> None:
        self.seen: list[str] = []
        self._nodes = context.informers.of(NODES)

    async def run(self, workers: int) -> None:
        self.seen = [f"{node.metadata.name} by {workers}" for node in self._nodes.list()]
        await asyncio.Event().wait()


async def test_another_controller_is_one_row(
    server: ApiServerInMemory, clock: FakeClock, informers: SharedInformers
) -> None:
    server.add(make.node("node-1"))
    made: list[NodeLister] = []

    def build(context: ControllerContext) -> Controller:
        made.append(NodeLister(context))
        return made[-1]

    controllers = controllers_of(server, clock, informers, ControllerDescriptor("nodelister", build, lambda _: 3))
    async with running(informers.run()), running(controllers.run()):
        await clock.settle()
        assert [controller.seen for controller in made] == [["node-1 by 3"]]


async def test_an_informer_that_is_asked_for_late_is_kept_up_too(
    server: ApiServerInMemory, informers: SharedInformers
) -> None:
    server.add(make.node("node-1"))
    nodes = informers.of(NODES)
    async with running(informers.run()):
        await nodes.wait_synced()
        endpoints = informers.of(ENDPOINTS)
        await endpoints.wait_synced()
        assert [node.metadata.name for node in nodes.list()] == ["node-1"]
        assert informers.of(NODES) is nodes


def test_two_groups_with_one_plural_have_an_informer_each(informers: SharedInformers) -> None:
    other = Resource("pods", "pod", "Pod", core_pb2.Pod, (), group="example.com")
    assert informers.of(other) is not informers.of(PODS)


def test_all_that_can_be_deleted_is_followed_but_events(informers: SharedInformers) -> None:
    followed = [resource.qualified for resource, _ in informers.deletable()]
    assert {"pods", "leases.coordination.k8s.io", "secrets"} <= {*followed}
    assert not {"events", "bindings"} & {*followed}
