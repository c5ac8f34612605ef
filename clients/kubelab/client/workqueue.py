"""The work queue of every controller: it hands each key to one worker at a time.

One key is never in two workers; different keys are processed in parallel. A key that is added while a worker has it
comes out again after ``done``; a key that is added twice before a worker took it comes out once.

Two lanes: fresh work goes ahead of retries, but after ``FRESH_IN_A_ROW`` fresh keys one retry gets its turn, so that
it is not starved. Delays are kept in a heap and need no task of their own: the workers that wait for a key wait no
longer than the next delay. All methods but ``get`` are synchronous and belong to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry

from kubelab.apimachinery.backoff import ExponentialBackoff, jittered
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.client.metrics import queue_metrics

K = TypeVar("K")

JITTER = 0.25  # of a delay
FIRST_DELAY = 0.005  # seconds: upstream's ItemExponentialFailureRateLimiter
MAX_DELAY = 1000.0
FRESH_IN_A_ROW = 64


class Lane(enum.Enum):
    FRESH = "fresh"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """The current content of the queue, and its totals. Times are seconds."""

    depth: int  # keys that a worker could take now, both lanes
    retries_depth: int
    waiting: int  # keys with a delay
    processing: int
    adds: int
    retries: int
    longest_running: float
    next_delay: float | None  # until the next waiting key is due


class WorkQueue(Generic[K]):
    """See the module. ``name`` labels the metrics, which exist when a ``registry`` is given."""

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock | None = None,
        first_delay: float = FIRST_DELAY,
        max_delay: float = MAX_DELAY,
        registry: CollectorRegistry | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._clock: Clock = clock or SystemClock()
        self._backoff = ExponentialBackoff(first_delay, max_delay)
        self._jitter = jitter
        self._lanes: dict[Lane, OrderedDict[K, float]] = {Lane.FRESH: OrderedDict(), Lane.RETRY: OrderedDict()}
        self._again: dict[K, Lane] = {}  # added while a worker has it
        self._processing: dict[K, float] = {}
        self._heap: list[tuple[float, int, K, Lane]] = []
        self._due: dict[tuple[K, Lane], tuple[float, int]] = {}  # what of the heap still counts
        self._sequence = 0
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._fresh_in_a_row = 0
        self._adds = self._retries = 0
        self._metrics = queue_metrics(registry).of_queue(self) if registry is not None else None

    def add(self, key: K) -> None:
        """Queue ``key`` for a worker."""
        self._put(key, Lane.FRESH)

    def add_after(self, key: K, seconds: float) -> None:
        """Queue ``key`` in so many seconds; of several delays the earliest counts."""
        self._delay(key, seconds, Lane.FRESH)

    def retry(self, key: K) -> None:
        """Queue ``key`` after its own back-off, which doubles until :meth:`forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._retries += 1
        if self._metrics:
            self._metrics.retries.inc()
        delay = jittered(self._backoff.longest(failures + 1), JITTER, self._jitter)
        self._delay(key, min(delay, self._backoff.cap), Lane.RETRY)

    def retries_of(self, key: K) -> int:
        """Give how often ``key`` was retried since it was last forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Take the last attempt as a success: the back-off starts over, and a retry that waits is not needed."""
        self._failures.pop(key, None)
        self._due.pop((key, Lane.RETRY), None)

    def done(self, key: K) -> None:
        """Give a key back that :meth:`get` handed out."""
        started = self._processing.pop(key)
        if self._metrics:
            self._metrics.work_duration.observe(self._clock.monotonic() - started)
        lane = self._again.pop(key, None)
        if lane is not None:
            self._enqueue(key, lane)

    async def get(self) -> K:
        """Wait for a key; the caller must call :meth:`done` with it."""
        while True:
            self._promote_due()
            if (key := self._take()) is not None:
                return key[0]
            await self._wait_for_change()

    def __aiter__(self) -> AsyncIterator[K]:
        return self

    async def __anext__(self) -> K:
        return await self.get()

    def statistics(self) -> QueueStatistics:
        """Say what is inside, for people, metrics and tests."""
        self._promote_due()
        now = self._clock.monotonic()
        due = min((when for when, _ in self._due.values()), default=None)
        return QueueStatistics(
            depth=sum(len(lane) for lane in self._lanes.values()),
            retries_depth=len(self._lanes[Lane.RETRY]),
            waiting=len(self._due),
            processing=len(self._processing),
            adds=self._adds,
            retries=self._retries,
            longest_running=max((now - started for started in self._processing.values()), default=0.0),
            next_delay=None if due is None else max(0.0, due - now),
        )

    def unfinished_seconds(self) -> float:
        """Add up how long the keys that workers have are worked on."""
        now = self._clock.monotonic()
        return sum(now - started for started in self._processing.values())

    def check_invariants(self) -> None:
        """Raise AssertionError when the queue broke its promises."""
        fresh, retries = self._lanes[Lane.FRESH], self._lanes[Lane.RETRY]
        assert not fresh.keys() & retries.keys(), "a key is in both lanes"
        assert not (fresh.keys() | retries.keys()) & self._processing.keys(), "a key is queued and in a worker"
        assert self._again.keys() <= self._processing.keys(), "a key waits for a worker that does not have it"
        pending = {(key, lane, when, sequence) for when, sequence, key, lane in self._heap}
        assert {(*entry, *due) for entry, due in self._due.items()} <= pending, "a delay is lost"

    def _put(self, key: K, lane: Lane) -> None:
        if key in self._processing:
            if self._again.get(key) is not Lane.FRESH:
                if key not in self._again:
                    self._count_add()
                self._again[key] = lane
        elif key in self._lanes[Lane.FRESH] or (lane is Lane.RETRY and key in self._lanes[Lane.RETRY]):
            return
        elif (since := self._lanes[Lane.RETRY].pop(key, None)) is not None:
            self._lanes[Lane.FRESH][key] = since  # fresh news about a key that waited in the slow lane
        else:
            self._count_add()
            self._enqueue(key, lane)

    def _count_add(self) -> None:
        self._adds += 1
        if self._metrics:
            self._metrics.adds.inc()

    def _enqueue(self, key: K, lane: Lane) -> None:
        self._lanes[lane][key] = self._clock.monotonic()
        self._wake_one()

    def _take(self) -> tuple[K] | None:
        fresh, retries = self._lanes[Lane.FRESH], self._lanes[Lane.RETRY]
        if fresh and (not retries or self._fresh_in_a_row < FRESH_IN_A_ROW):
            lane = fresh
            self._fresh_in_a_row += 1
        elif retries:
            lane = retries
            self._fresh_in_a_row = 0
        else:
            return None
        key, since = lane.popitem(last=False)
        now = self._processing[key] = self._clock.monotonic()
        if self._metrics:
            self._metrics.queue_duration.observe(now - since)
        return (key,)

    def _delay(self, key: K, seconds: float, lane: Lane) -> None:
        if seconds <= 0:
            self._put(key, lane)
            return
        self._promote_due()  # a wish whose time has come, while every worker was busy, must not swallow a later one
        when = self._clock.monotonic() + seconds
        due = self._due.get((key, lane))
        if due is not None and due[0] <= when:
            return
        self._sequence += 1
        self._due[key, lane] = (when, self._sequence)
        heapq.heappush(self._heap, (when, self._sequence, key, lane))
        if self._heap[0][1] == self._sequence:
            self._wake_one()  # a waiting worker must wake earlier now

    def _promote_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap:
            when, sequence, key, lane = self._heap[0]
            if self._due.get((key, lane)) != (when, sequence):
                heapq.heappop(self._heap)  # forgotten, or an earlier wish took its place
            elif when <= now:
                heapq.heappop(self._heap)
                del self._due[key, lane]
                self._put(key, lane)
            else:
                return

    async def _wait_for_change(self) -> None:
        """Wait until woken or until the next delay is over. A wake-up that a cancelled waiter got is passed on."""
        seconds = max(0.0, self._heap[0][0] - self._clock.monotonic()) if self._heap else None
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            async with self._clock.timeout(seconds):
                await getter
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled():
                self._wake_one()
            raise
        finally:
            if not getter.done():
                getter.cancel()
            if getter in self._getters:
                self._getters.remove(getter)

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
