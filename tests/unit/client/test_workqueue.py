"""The work queue: no key in two workers, no lost re-add, duplicates merge, fresh work before retries."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from kubelab.client.workqueue import FRESH_IN_A_ROW, WorkQueue
from tests.support.clock import FakeClock


def make(clock: FakeClock | None = None, **options: float) -> WorkQueue[str]:
    return WorkQueue("test", clock=clock or FakeClock(), jitter=lambda: 0.0, **options)  # pyright: ignore[reportArgumentType]


async def taken(queue: WorkQueue[str]) -> list[str]:
    """Take and finish everything that is ready."""
    keys: list[str] = []
    while queue.statistics().depth:
        key = await queue.get()
        keys.append(key)
        queue.done(key)
    queue.check_invariants()
    return keys


async def test_duplicates_merge_and_order_is_kept() -> None:
    queue = make()
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    assert await taken(queue) == ["a", "b", "c"]
    assert queue.statistics().adds == 3


async def test_a_key_added_while_a_worker_has_it_comes_out_again_after_done() -> None:
    queue = make()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert queue.statistics().depth == 0
    queue.check_invariants()
    queue.done("a")
    assert await taken(queue) == ["a"]


async def test_fresh_work_goes_ahead_of_retries() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.retry("slow")
    await clock.advance(1)
    queue.add("fresh-1")
    queue.add("fresh-2")
    assert await taken(queue) == ["fresh-1", "fresh-2", "slow"]


async def test_a_retry_is_not_starved_by_fresh_work() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.retry("slow")
    await clock.advance(1)
    for n in range(2 * FRESH_IN_A_ROW):
        queue.add(f"fresh-{n}")
    assert (await taken(queue)).index("slow") == FRESH_IN_A_ROW


async def test_news_about_a_key_in_the_slow_lane_brings_it_to_the_fast_one() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.retry("a")
    queue.retry("b")
    await clock.advance(1)
    queue.add("other")
    key = await queue.get()  # moves what is due into its lane
    queue.add("b")
    queue.done(key)
    assert key == "other"
    assert await taken(queue) == ["b", "a"]


async def test_the_back_off_doubles_per_key_up_to_its_limit_and_forget_starts_over() -> None:
    clock = FakeClock()
    queue = make(clock, first_delay=0.005, max_delay=1000.0)
    delays: list[float | None] = []
    for _ in range(20):
        queue.retry("a")
        delays.append(queue.statistics().next_delay)
        await clock.advance(1001)
        await taken(queue)
    assert delays[:3] == pytest.approx([0.005, 0.01, 0.02])
    assert delays[-1] == 1000.0
    queue.retry("b")
    assert queue.statistics().next_delay == pytest.approx(0.005)
    queue.forget("a")
    assert queue.retries_of("a") == 0


async def test_forget_takes_a_waiting_retry_back_but_not_a_wish_for_later() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.retry("a")
    queue.add_after("a", 40)
    queue.forget("a")
    assert queue.statistics().waiting == 1
    await clock.advance(39)
    queue.add("other")
    assert await taken(queue) == ["other"]
    await clock.advance(1)
    assert await queue.get() == "a"


async def test_of_several_delays_the_earliest_counts() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    queue.check_invariants()
    assert queue.statistics().next_delay == 3
    await clock.advance(3)
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.statistics().waiting == 0


async def test_a_waiting_worker_wakes_for_an_earlier_delay() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.add_after("late", 100)
    async with asyncio.TaskGroup() as group:
        got = group.create_task(queue.get())
        await clock.settle()
        queue.add_after("early", 1)
        await clock.advance(1)
        assert got.done()
    assert got.result() == "early"


async def test_a_cancelled_worker_passes_its_wake_up_on() -> None:
    clock = FakeClock()
    queue = make(clock)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queue.get())
        second = group.create_task(queue.get())
        await clock.settle()
        queue.add("a")
        first.cancel()
        await clock.settle()
        assert second.done()
    assert second.result() == "a"


async def test_metrics_have_upstreams_names() -> None:
    registry = CollectorRegistry()
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue("pods", clock=clock, registry=registry)
    queue.add("a")
    key = await queue.get()
    await clock.advance(2)
    labels = {"name": "pods"}
    assert registry.get_sample_value("workqueue_longest_running_processor_seconds", labels) == 2
    assert registry.get_sample_value("workqueue_unfinished_work_seconds", labels) == 2
    queue.done(key)
    queue.retry(key)
    assert registry.get_sample_value("workqueue_adds_total", labels) == 1
    assert registry.get_sample_value("workqueue_retries_total", labels) == 1
    assert registry.get_sample_value("workqueue_depth", labels) == 0
    assert registry.get_sample_value("workqueue_work_duration_seconds_sum", labels) == 2
    assert registry.get_sample_value("workqueue_queue_duration_seconds_count", labels) == 1


async def test_a_delay_that_is_over_does_not_swallow_a_later_one() -> None:
    clock = FakeClock()
    queue = make(clock)
    queue.add_after("a", 1)
    await clock.advance(2)  # every worker is busy
    queue.add_after("a", 10)
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.statistics().next_delay == 10


KEYS = st.sampled_from(["a", "b", "c"])


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls keeps the promises. A model remembers what is owed: keys added and not yet handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.queue = make(self.clock)
        self.owed: set[str] = set()  # must come out (again)
        self.held: set[str] = set()
        self.delayed: dict[str, float] = {}  # must come out (again) at that time or later

    def teardown(self) -> None:
        try:
            self.runner.run(self.settle())
        finally:
            self.runner.close()

    async def settle(self) -> None:
        """Whatever happened, everything that was added comes out in the end."""
        for key in list(self.held):
            self.queue.done(key)
        await self.clock.advance(2000)
        out: set[str] = set()
        self.queue.add("end")
        while True:
            key = await self.queue.get()
            self.queue.done(key)
            out.add(key)
            self.queue.check_invariants()
            if not self.queue.statistics().depth:
                break
        assert self.owed | self.delayed.keys() <= out

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=KEYS, seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def add_after(self, key: str, seconds: float) -> None:
        self.queue.add_after(key, seconds)
        if seconds:
            if self.delayed.get(key, self.clock.monotonic() + 1) <= self.clock.monotonic():
                self.owed.add(key)
                del self.delayed[key]
            due = self.clock.monotonic() + seconds
            self.delayed[key] = min(due, self.delayed.get(key, due))
        else:
            self.owed.add(key)

    @rule(key=KEYS)
    def retry_and_forget(self, key: str) -> None:
        self.queue.retry(key)
        self.queue.forget(key)

    @precondition(lambda self: self.queue.statistics().depth > 0)
    @rule()
    def get(self) -> None:
        key = self.runner.run(self.queue.get())
        assert key not in self.held
        self.held.add(key)
        self.owed.discard(key)
        if self.delayed.get(key, self.clock.monotonic() + 1) <= self.clock.monotonic():
            del self.delayed[key]

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.queue.done(key)
        self.held.discard(key)

    @rule(seconds=st.sampled_from([0.5, 2.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.runner.run(self.clock.advance(seconds))

    @invariant()
    def holds(self) -> None:
        self.queue.check_invariants()


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueueMachine = QueueMachine.TestCase
