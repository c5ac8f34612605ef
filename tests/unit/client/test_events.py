"""The event recorder: the same event is counted, similar ones are combined, a flood is cut off, nobody is blocked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import EVENTS
from kubelab.client import events
from kubelab.client.events import EventRecorder
from kubelab.rpc import tracing
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

WEB = core_pb2.Pod(metadata=meta_pb2.ObjectMeta(name="web", namespace="shop", uid="u1", resourceVersion="7"))
NODE = core_pb2.Node(metadata=meta_pb2.ObjectMeta(name="node-1", uid="u2"))


class Lab:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = ApiServerInMemory(clock=self.clock)
        self.server.add(make.namespace("shop"))
        self.recorder = EventRecorder(self.server.client("kubelet@node-1"), "kubelet", "node-1", self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.recorder.run())
            yield
            await self.clock.settle()
            task.cancel()

    def written(self) -> list[core_pb2.Event]:
        return self.server.objects(EVENTS)


@pytest.fixture
def lab() -> Lab:
    return Lab()


async def test_an_event_says_what_upstream_s_says(lab: Lab) -> None:
    async with lab.running():
        lab.recorder.event(WEB, "Normal", "Pulled", "Image present", field_path="spec.containers{web}")
        lab.recorder.event(NODE, "Warning", "Rebooted", "Node rebooted")
    node, web = lab.written()
    assert web.metadata.name == f"web.{int(lab.clock.time() * 1e9):x}"
    assert (web.metadata.namespace, node.metadata.namespace) == ("shop", "default")
    assert web.involvedObject == core_pb2.ObjectReference(
        kind="Pod",
        namespace="shop",
        name="web",
        uid="u1",
        apiVersion="v1",
        resourceVersion="7",
        fieldPath="spec.containers{web}",
    )
    assert (web.type, web.reason, web.message, web.count) == ("Normal", "Pulled", "Image present", 1)
    assert (web.source.component, web.source.host) == ("kubelet", "node-1")
    assert (node.type, node.involvedObject.kind) == ("Warning", "Node")


async def test_the_same_event_is_counted(lab: Lab) -> None:
    async with lab.running():
        for _ in range(3):
            lab.recorder.event(WEB, "Warning", "BackOff", "Back-off restarting failed container")
            await lab.clock.advance(10)
    (event,) = lab.written()
    assert event.count == 3
    assert event.lastTimestamp.seconds - event.firstTimestamp.seconds == 20


async def test_an_event_that_has_expired_is_written_anew(lab: Lab) -> None:
    async with lab.running():
        lab.recorder.event(WEB, "Warning", "BackOff", "again")
        await lab.clock.settle()
        lab.server.remove(EVENTS, f"shop/{lab.written()[0].metadata.name}")
        await lab.clock.advance(1)
        lab.recorder.event(WEB, "Warning", "BackOff", "again")
    (event,) = lab.written()
    assert event.count == 2  # as upstream: it is the same one, and goes on


async def test_events_that_differ_in_their_message_only_are_combined(lab: Lab) -> None:
    async with lab.running():
        for n in range(20):
            lab.recorder.event(WEB, "Warning", "FailedScheduling", f"attempt {n}")
            await lab.clock.advance(0.001)
    combined = [e for e in lab.written() if e.message.startswith(events.COMBINED)]
    assert len(combined) == 1
    assert combined[0].count == 11
    assert combined[0].message.endswith("attempt 19")
    assert len(lab.written()) == 10


async def test_a_flood_about_one_object_is_cut_off(lab: Lab) -> None:
    async with lab.running():
        for n in range(100):
            lab.recorder.event(WEB, "Warning", f"Reason{n}", "flood")
        lab.recorder.event(NODE, "Normal", "Quiet", "another object is not held back")
        await lab.clock.settle()
        assert len(lab.written()) == events.BURST + 1
        await lab.clock.advance(events.REFILL)
        lab.recorder.event(WEB, "Warning", "Later", "one more")
    assert len(lab.written()) == events.BURST + 2


async def test_what_the_flood_swallowed_is_counted(lab: Lab) -> None:
    async with lab.running():
        for _ in range(100):
            lab.recorder.event(WEB, "Warning", "BackOff", "Back-off restarting failed container")
            await lab.clock.advance(1)
        (event,) = lab.written()
        assert event.count == events.BURST
        await lab.clock.advance(events.REFILL)
        lab.recorder.event(WEB, "Warning", "BackOff", "Back-off restarting failed container")
    (event,) = lab.written()
    assert event.count == 101


@pytest.mark.parametrize("lost", [errors.Timeout("too late"), errors.Unavailable("gone")])
@pytest.mark.parametrize("verb", ["create", "update"])
async def test_an_event_whose_answer_is_lost_is_one_event(lab: Lab, verb: str, lost: errors.ApiError) -> None:
    lab.server.fail(lost, verb=verb, resource="events", after=True)
    async with lab.running():
        for _ in range(3):
            lab.recorder.event(WEB, "Warning", "BackOff", "again")
            await lab.clock.advance(30)
    (event,) = lab.written()
    assert event.count == 3


async def test_an_event_in_a_namespace_that_is_gone_is_tried_once(lab: Lab) -> None:
    lab.server.fail(errors.NotFound('namespaces "shop" not found'), verb="create", resource="events", times=100)
    async with lab.running():
        lab.recorder.event(WEB, "Normal", "Killing", "Stopping container")
        await lab.clock.advance(60)
    assert len(lab.server.calls_of("create", EVENTS)) == 1


async def test_two_components_may_tell_of_one_object_in_one_nanosecond(lab: Lab) -> None:
    """Both want the same name, and neither takes the other's event for its own."""
    other = EventRecorder(lab.server.client("kube-scheduler"), "scheduler", "cp-1", lab.clock)
    async with lab.running(), asyncio.TaskGroup() as group:
        task = group.create_task(other.run())
        lab.recorder.event(WEB, "Normal", "Pulled", "Image present")
        other.event(WEB, "Normal", "Scheduled", "Successfully assigned")
        await lab.clock.settle()
        task.cancel()
    assert sorted(event.reason for event in lab.written()) == ["Pulled", "Scheduled"]


async def test_nothing_is_lost_while_the_server_restarts(lab: Lab) -> None:
    lab.server.fail(errors.Unavailable("restarting"), times=3)
    async with lab.running():
        lab.recorder.event(WEB, "Normal", "Started", "Started container")
        await lab.clock.advance(30)
    assert [e.reason for e in lab.written()] == ["Started"]


async def test_a_refused_event_is_dropped_and_the_next_one_written(lab: Lab) -> None:
    lab.server.fail(errors.Forbidden("namespace is being terminated"))
    async with lab.running():
        lab.recorder.event(WEB, "Normal", "Killing", "Stopping container")
        lab.recorder.event(NODE, "Normal", "Ready", "Node is ready")
    assert [e.reason for e in lab.written()] == ["Ready"]


async def test_the_queue_is_bounded_and_never_blocks(lab: Lab) -> None:
    for n in range(events.PENDING + 5):
        lab.recorder.event(WEB, "Normal", "Flood", str(n))
    assert lab.recorder.dropped == 5


async def test_an_event_belongs_to_the_trace_it_was_made_in(lab: Lab) -> None:
    async with lab.running():
        with tracing.cause("41"):
            lab.recorder.event(WEB, "Normal", "Scheduled", "Successfully assigned")
    assert lab.server.calls_of("create", EVENTS)[0].cause == "41"
