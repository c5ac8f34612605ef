"""The whole scheduler over an api-server in memory: bindings, conditions, events, retries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import structlog
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import (
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICATION_CONTROLLERS,
    SERVICES,
)
from kubelab.client.events import EventRecorder
from kubelab.client.informer import Informer
from kubelab.component.environment import Environment
from kubelab.scheduler import __main__ as component
from kubelab.scheduler.algorithm import Algorithm
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.config import SchedulerConfig
from kubelab.scheduler.eventhandlers import EventHandlers
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.metrics import SchedulerMetrics
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.podcondition import PodConditionUpdater
from kubelab.scheduler.preemptor import Preemptor
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.queue import SchedulingQueue
from kubelab.scheduler.scheduler import Scheduler
from kubelab.scheduler.waitingpods import WaitingPods
from tests.support import objects as make
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

DEFAULT = "default-scheduler"
Run = Callable[[ApiServerInMemory], AbstractAsyncContextManager[None]]


@pytest.fixture
def running() -> Run:
    @contextlib.asynccontextmanager
    async def run(server: ApiServerInMemory) -> AsyncGenerator[None]:
        config = SchedulerConfig(
            name="scheduler@test",
            pod_initial_backoff=0.05,
            pod_max_backoff=0.1,
            bind_address="unix:",
            metrics_address="",
        )
        env = Environment(config, "scheduler", make_client=server.client)
        async with env.client() as client, tasks.running(component.work(config, env, client)):
            yield

    return run


def pod_of(server: ApiServerInMemory, name: str) -> core_pb2.Pod:
    pod = server.get(PODS, f"default/{name}")
    assert pod is not None
    return pod


def messages(server: ApiServerInMemory, reason: str) -> list[str]:
    return [event.message for event in server.objects(EVENTS) if event.reason == reason]


async def test_a_pod_gets_a_node_and_an_event_says_so(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("node-1"), make.pod("x"))
    async with running(server):
        await server.until(lambda: messages(server, "Scheduled"))
    assert pod_of(server, "x").spec.nodeName == "node-1"
    assert messages(server, "Scheduled") == ["Successfully assigned default/x to node-1"]
    lease = server.get(LEASES, "kube-system/kube-scheduler")
    assert lease is not None
    bind = next(call for call in server.calls if call.subresource == "binding")
    assert bind.cause  # the binding names what it followed from


async def test_a_pod_that_fits_nowhere_says_why_and_goes_when_there_is_room(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("node-1", cpu="1"), make.pod("x", requests={"cpu": "2"}))

    def condition() -> core_pb2.PodCondition | None:
        return next((c for c in pod_of(server, "x").status.conditions if c.type == "PodScheduled"), None)

    async with running(server):
        await server.until(condition)
        told = condition()
        assert told is not None
        assert (told.status, told.reason) == ("False", "Unschedulable")
        assert told.message == (
            "0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        await server.until(lambda: messages(server, "FailedScheduling") == [told.message])
        server.add(make.node("node-2", cpu="2"))
        await server.until(lambda: pod_of(server, "x").spec.nodeName == "node-2")


async def test_room_that_a_deleted_pod_leaves_is_used(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("node-1", cpu="1"), make.pod("old", node="node-1", requests={"cpu": "1"}))
    server.add(make.pod("new", requests={"cpu": "1"}))
    async with running(server):
        await server.until(lambda: messages(server, "FailedScheduling"))
        server.remove(PODS, "default/old")
        await server.until(lambda: pod_of(server, "new").spec.nodeName)


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done, but nobody heard"])
async def test_a_binding_that_fails_is_tried_again(running: Run, after: bool) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Unavailable("gone"), verb="create", resource="pods", after=after)
    server.add(make.node("node-1", cpu="1"), make.pod("x", requests={"cpu": "1"}))
    async with running(server):
        await server.until(lambda: pod_of(server, "x").spec.nodeName == "node-1")
        server.add(make.pod("y", requests={"cpu": "1"}))  # the room is counted once, whatever happened
        await server.until(lambda: any("1 Insufficient cpu" in m for m in messages(server, "FailedScheduling")))


async def test_a_binding_that_fails_says_which_plugin_was_refused(running: Run) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Forbidden("not today"), verb="create", resource="pods")
    server.add(make.node("node-1"), make.pod("x"))
    async with running(server):
        await server.until(lambda: messages(server, "FailedScheduling"))
    assert messages(server, "FailedScheduling") == ['binding rejected: running Bind plugin "DefaultBinder": not today']


async def test_a_pod_that_changes_while_it_is_bound_comes_back_as_it_is_now() -> None:
    clock, cache = FakeClock(), Cache()
    queue = SchedulingQueue(clock)
    client = ApiServerInMemory(clock=clock).client()
    handlers = EventHandlers(
        pods=Informer(client, PODS),
        nodes=Informer(client, NODES),
        services=Informer(client, SERVICES),
        controllers=Informer(client, REPLICATION_CONTROLLERS),
        queue=queue,
        cache=cache,
        namespaces=Informer(client, NAMESPACES),
        budgets=Informer(client, POD_DISRUPTION_BUDGETS),
        waiting=WaitingPods(clock),
        scheduler_names=["default-scheduler"],
    )
    handlers.node_set(make.node("node-1"))
    handlers.pod_set(make.pod("x"))
    queued = await queue.pop()
    cache.assume(queued.pod, "node-1")
    handlers.pod_set(make.pod("x", deleting=True))
    cache.forget(queued.pod.uid)  # the binding failed
    queue.back_off(queued)
    clock.skip(1)
    queued = await queue.pop()
    assert queued.pod.terminating  # and will not be bound again
    cache.assume(queued.pod, "node-1")
    queue.done(queued)  # this time it was bound
    handlers.pod_set(make.pod("x"))
    assert not queue.holds(queued.pod.uid)
    queue.check_invariants()


def bindings(server: ApiServerInMemory) -> list[str]:
    return [call.name for call in server.calls if call.subresource == "binding"]


@pytest.mark.parametrize("ttl", [0.0, 30.0])
async def test_the_room_of_a_bound_pod_that_is_not_seen_is_its_own(ttl: float) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.pod("x", requests={"cpu": "4"}), make.pod("y", requests={"cpu": "4"}), make.pod("another"))
    client, queue, cache, waiting = server.client(), SchedulingQueue(clock), Cache(), WaitingPods(clock)
    scheduler = Scheduler(
        queue=queue,
        cache=cache,
        algorithm=Algorithm(),
        frameworks={DEFAULT: Framework(Handle(client, waiting))},
        waiting=waiting,
        recorders={DEFAULT: EventRecorder(client, "default-scheduler")},
        conditions=PodConditionUpdater(client, clock, structlog.get_logger()),
        preemptor=Preemptor(client, waiting, clock, structlog.get_logger()),
        clock=clock,
        log=structlog.get_logger(),
        metrics=SchedulerMetrics(CollectorRegistry()),
        assumed_pod_ttl=ttl,
    )
    cache.set_node(make.node("node-1"))
    for name in ("x", "y"):
        queue.add(PodInfo.of(pod_of(server, name)))
    scheduling = asyncio.ensure_future(scheduler.run())
    await clock.advance(50)
    queue.add(PodInfo.of(make.pod("another")))  # every decision looks for what has expired
    await clock.advance(50)
    scheduling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await scheduling
    assert ("x" in bindings(server), "y" in bindings(server)) == (True, bool(ttl))


async def test_other_schedulers_pods_are_left_alone(running: Run) -> None:
    server = ApiServerInMemory()
    foreign = make.pod("foreign")
    foreign.spec.schedulerName = "mine"
    server.add(make.node("node-1"), foreign, make.pod("x"))
    async with running(server):
        await server.until(lambda: pod_of(server, "x").spec.nodeName)
    assert pod_of(server, "foreign").spec.nodeName == ""


async def test_many_pods_spread_over_the_nodes_and_a_cordoned_one_gets_none(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(*(make.node(f"node-{n}") for n in range(3)), make.node("cordoned", unschedulable=True))
    rc = make.replication_controller("web")
    server.add(rc)
    server.add(*(make.pod(f"w{n}", labels={"app": "web"}, owner=make.controlled_by(rc)) for n in range(30)))
    async with running(server):
        await server.until(lambda: all(pod.spec.nodeName for pod in server.objects(PODS)))
    nodes = [pod.spec.nodeName for pod in server.objects(PODS)]
    assert {node: nodes.count(node) for node in set(nodes)} == {f"node-{n}": 10 for n in range(3)}
    assert len(server.objects(NODES)) == 4


async def test_a_leader_that_stops_in_the_middle_gives_its_pods_back(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("node-1", cpu="64"), *(make.pod(f"p{n}", requests={"cpu": "1"}) for n in range(40)))
    for _ in range(3):
        async with running(server):
            bound = len([call for call in server.calls if call.subresource == "binding"])
            await server.until(lambda bound=bound: any(c.subresource == "binding" for c in server.calls[bound:]))
    async with running(server):
        await server.until(lambda: all(pod.spec.nodeName for pod in server.objects(PODS)))


async def test_work_that_is_cancelled_before_its_first_step_is_not_lost() -> None:
    clock, cache = FakeClock(), Cache()
    queue = SchedulingQueue(clock)
    server = ApiServerInMemory(clock=clock)
    client, waiting = server.client(), WaitingPods(clock)
    scheduler = Scheduler(
        queue=queue,
        cache=cache,
        algorithm=Algorithm(),
        frameworks={DEFAULT: Framework(Handle(client, waiting))},
        waiting=waiting,
        recorders={DEFAULT: EventRecorder(client, "default-scheduler")},
        conditions=PodConditionUpdater(client, clock, structlog.get_logger()),
        preemptor=Preemptor(client, waiting, clock, structlog.get_logger()),
        clock=clock,
        log=structlog.get_logger(),
        metrics=SchedulerMetrics(CollectorRegistry()),
    )
    cache.set_node(make.node("node-1"))
    queue.add(PodInfo.of(make.pod("x")))
    leading = asyncio.ensure_future(scheduler.run())
    for _ in range(100):
        if queue.statistics()["in_flight"]:
            break
        await asyncio.sleep(0)
    leading.cancel()  # the binding's task exists, but nothing of it ran
    with contextlib.suppress(asyncio.CancelledError):
        await leading
    assert queue.statistics()["backoff"] == 1
    assert cache.statistics()["assumed"] == 0
    queue.check_invariants()
    cache.check_invariants()
