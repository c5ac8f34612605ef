"""The scheduling queue: a pod is in one place, rests as long as it must, and no event is lost."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kubelab.scheduler import clusterevents
from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.queue import QueuedPod, SchedulingQueue
from tests.support import objects as make
from tests.support.clock import FakeClock

ROOM = frozenset({clusterevents.POD_GONE})
LABELS = frozenset({clusterevents.NODE_LABELED})


def info(name: str, *, priority: int = 0, label: str = "") -> PodInfo:
    pod = make.pod(name, labels={"l": label})
    if priority:
        pod.spec.priority = priority
    return PodInfo.of(pod)


async def pop(queue: SchedulingQueue) -> QueuedPod:
    async with asyncio.timeout(5):
        return await queue.pop()


async def test_priority_then_arrival() -> None:
    clock = FakeClock()
    queue = SchedulingQueue(clock)
    for pod in (info("a"), info("b"), info("urgent", priority=10)):
        queue.add(pod)
        await clock.advance(0.1)
    assert [(await pop(queue)).pod.name for _ in range(3)] == ["urgent", "a", "b"]


async def test_backoff_doubles_from_one_second_to_ten() -> None:
    queue = SchedulingQueue(FakeClock())
    assert [queue.backoff_of(n) for n in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]


async def test_an_event_brings_back_whom_it_could_help_after_their_rest() -> None:
    clock = FakeClock()
    queue = SchedulingQueue(clock)
    for name, events in (("small", ROOM), ("picky", LABELS)):
        queue.add(info(name))
        queue.reject(await pop(queue), events)
    assert queue.move(clusterevents.POD_GONE) == 1
    assert queue.statistics() == {"active": 0, "backoff": 1, "unschedulable": 1, "in_flight": 0, "gated": 0}
    waiting = asyncio.ensure_future(queue.pop())
    await clock.advance(0.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert (await waiting).pod.name == "small"
    await clock.advance(5)
    queue.move(clusterevents.NODE_LABELED)  # its rest is long over
    assert (await pop(queue)).pod.name == "picky"
    queue.check_invariants()


async def test_nobody_waits_for_an_event_longer_than_five_minutes() -> None:
    clock = FakeClock()
    queue = SchedulingQueue(clock)
    queue.add(info("a"))
    queue.reject(await pop(queue), ROOM)
    waiting = asyncio.ensure_future(queue.pop())
    await clock.advance(299)
    assert not waiting.done()
    await clock.advance(2)
    assert (await waiting).attempts == 2


async def test_an_update_that_asks_otherwise_is_tried_and_a_status_is_not() -> None:
    clock = FakeClock()
    queue = SchedulingQueue(clock)
    queue.add(info("a"))
    queue.reject(await pop(queue), ROOM)
    await clock.advance(20)
    told = make.pod("a", labels={"l": ""})
    told.status.conditions.add(type="PodScheduled", status="False")
    queue.add(PodInfo.of(told))
    assert queue.statistics()["unschedulable"] == 1
    queue.add(info("a", label="new"))
    assert (await pop(queue)).pod.labels == {"l": "new"}


async def test_a_pod_that_is_gone_while_in_flight_does_not_come_back() -> None:
    queue = SchedulingQueue(FakeClock())
    queue.add(info("a"))
    flying = await pop(queue)
    queue.remove(flying.pod.uid)
    queue.reject(flying, ROOM)
    queue.back_off(flying)
    assert sum(queue.statistics().values()) == 0


@pytest.mark.parametrize("resting", [False, True], ids=["active", "resting"])
async def test_a_standby_keeps_nothing_of_the_pods_that_others_bind(resting: bool) -> None:
    queue = SchedulingQueue(FakeClock())
    pods = [info(f"p{n}") for n in range(100)]
    before = [sys.getrefcount(pod) for pod in pods]
    for n in range(len(pods)):
        queue.add(pods[n])
        if resting:
            queue.back_off(await pop(queue))
    for uid in [pod.uid for pod in pods]:
        queue.remove(uid)
        queue.check_invariants()
    assert [sys.getrefcount(pod) for pod in pods] == before


class Machine(RuleBasedStateMachine):
    """Anything in any order: the pods in the queue are those that were added and not removed or done."""

    names = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = SchedulingQueue(self.clock)
        self.flying: dict[str, QueuedPod] = {}
        self.known: set[str] = set()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    @rule(name=names, priority=st.integers(0, 2), label=st.sampled_from("xy"))
    def add(self, name: str, priority: int, label: str) -> None:
        self.queue.add(info(name, priority=priority, label=label))
        self.known.add(name)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.queue.remove(f"uid-of-{name}")
        self.known.discard(name)
        self.flying.pop(name, None)

    @rule()
    def take(self) -> None:
        if self.queue.statistics()["active"]:
            queued = self.loop.run_until_complete(self.queue.pop())
            assert queued.pod.name not in self.flying
            self.flying[queued.pod.name] = queued

    @rule(name=names, how=st.sampled_from(["reject", "back_off", "done"]))
    def land(self, name: str, how: str) -> None:
        queued = self.flying.pop(name, None)
        if queued is None:
            return
        if how == "reject":
            self.queue.reject(queued, ROOM)
        elif how == "back_off":
            self.queue.back_off(queued)
        else:
            self.queue.done(queued)
            self.known.discard(name)

    @rule(event=st.sampled_from([clusterevents.POD_GONE, clusterevents.NODE_LABELED]))
    def move(self, event: ClusterEvent) -> None:
        moved = self.queue.move(event)
        assert event in ROOM or moved == 0

    @rule(seconds=st.sampled_from([0.5, 3, 400]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))

    @invariant()
    def nothing_is_lost(self) -> None:
        self.queue.check_invariants()
        assert sum(self.queue.statistics().values()) == len(self.known)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
