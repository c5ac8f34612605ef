"""The pods that wait for a node.

::

    add ──▶ active ──pop──▶ in flight ──done──▶ (bound, or gone)
              ▲                │ reject               │ back_off
              │ time is up     ▼                      ▼
              ├────────── unschedulable ──event──▶ back-off ──time is up──▶ active
              └──────────────────────────────────────────

One consumer pops; every other method is synchronous and may be called from watch handlers. ``reject`` is for pods that
no node would take: they wait for an event that could change that (each plugin says which), at most five minutes.
``back_off`` is for errors: only time is needed. A pod that a PreEnqueue plugin keeps back is gated: it becomes active
when it is changed so that the plugin lets it pass. A pod is in exactly one place; changes to one in flight are kept for
when it comes back. The consumer's own wait is the only timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock
from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import PodInfo

INITIAL_BACKOFF = 1.0
MAX_BACKOFF = 10.0
MAX_UNSCHEDULABLE = 300.0


class QueueLocation(enum.Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    IN_FLIGHT = "in_flight"
    GATED = "gated"


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod with its history in the queue; times are monotonic seconds."""

    pod: PodInfo
    first_added: float
    since: float
    """When it came to where it is; back-off and order count from here."""
    location: QueueLocation = QueueLocation.ACTIVE
    attempts: int = 0
    retry_on: frozenset[ClusterEvent] = field(default_factory=frozenset[ClusterEvent])
    ticket: int = 0
    """Which heap entry is the valid one; older entries are skipped when they come up."""


class _Heap:
    """Pods in an order. One that leaves from the middle stays as a stale entry until it comes up, or until such entries
    outnumber the others: a standby pops nothing, and would keep every pod that it ever saw."""

    def __init__(self, tickets: Iterator[int]) -> None:
        self._tickets = tickets
        self._entries: list[tuple[tuple[float, ...], int, QueuedPod]] = []
        self._stale = 0

    def push(self, queued: QueuedPod, *order: float) -> None:
        queued.ticket = next(self._tickets)
        heapq.heappush(self._entries, (order, queued.ticket, queued))

    def discard(self, queued: QueuedPod) -> None:
        """Take out a pod that is in it."""
        queued.ticket = 0
        self._stale += 1
        self._compact()

    def first(self) -> float | None:
        """Give the first part of the first pod's order; None when it is empty."""
        while self._entries:
            if _valid(self._entries[0]):
                return self._entries[0][0][0]
            heapq.heappop(self._entries)
            self._stale -= 1
        return None

    def pop(self) -> QueuedPod | None:
        """Take out the first pod."""
        if self.first() is None:
            return None
        queued = heapq.heappop(self._entries)[2]
        queued.ticket = 0
        self._compact()
        return queued

    def _compact(self) -> None:
        if 2 * self._stale > len(self._entries):
            self._entries = [entry for entry in self._entries if _valid(entry)]
            heapq.heapify(self._entries)
            self._stale = 0

    def pods(self) -> list[QueuedPod]:
        """List the pods in it, for invariant checks."""
        return [entry[2] for entry in self._entries if _valid(entry)]

    def check_invariants(self) -> None:
        """Raise AssertionError when there is more dead weight than pods."""
        assert self._stale == len(self._entries) - len(self.pods()), "stale entries are miscounted"
        assert 2 * self._stale <= len(self._entries), "more is kept than waits"


def _valid(entry: tuple[tuple[float, ...], int, QueuedPod]) -> bool:
    return entry[2].ticket == entry[1]


class SchedulingQueue:
    """Active, back-off and unschedulable pods, by uid."""

    def __init__(
        self,
        clock: Clock,
        *,
        initial_backoff: float = INITIAL_BACKOFF,
        max_backoff: float = MAX_BACKOFF,
        max_unschedulable: float = MAX_UNSCHEDULABLE,
        pre_enqueue: Callable[[PodInfo], bool] = lambda _: True,
    ) -> None:
        self._clock, self._pre_enqueue = clock, pre_enqueue
        self._delays = ExponentialBackoff(initial_backoff, max_backoff)
        self._max_unschedulable = max_unschedulable
        self._pods: dict[str, QueuedPod] = {}
        tickets = itertools.count(1)
        self._active, self._backoff = _Heap(tickets), _Heap(tickets)
        self._unschedulable: dict[str, QueuedPod] = {}  # in the order of arrival
        self._waiting: defaultdict[frozenset[ClusterEvent], dict[str, QueuedPod]] = defaultdict(dict)  # the same pods
        self._changed = asyncio.Event()

    def add(self, pod: PodInfo) -> None:
        """Take in a new pod, or the newer version of one that is here."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            now = self._clock.monotonic()
            queued = self._pods[pod.uid] = QueuedPod(pod, now, now)
            self._enter(queued)
            return
        old, queued.pod = queued.pod, pod
        if queued.location is QueueLocation.GATED:
            self._enter(queued)
        elif queued.location is QueueLocation.UNSCHEDULABLE and _asks_otherwise(old, pod):
            self._retry(queued)
        elif queued.location is QueueLocation.ACTIVE and old.priority != pod.priority:
            self._active.discard(queued)
            self._to_active(queued)

    def _enter(self, queued: QueuedPod) -> None:
        if self._pre_enqueue(queued.pod):
            queued.since = self._clock.monotonic()
            self._to_active(queued)
        else:
            queued.location = QueueLocation.GATED

    def holds(self, uid: str) -> bool:
        """Say whether the pod is here, in whatever place."""
        return uid in self._pods

    def remove(self, uid: str) -> None:
        """Drop a pod that is gone or has a node, wherever it is."""
        queued = self._pods.pop(uid, None)
        if queued is None:
            return
        if queued.location is QueueLocation.ACTIVE:
            self._active.discard(queued)
        elif queued.location is QueueLocation.BACKOFF:
            self._backoff.discard(queued)
        else:
            self._leave_unschedulable(queued)

    async def pop(self) -> QueuedPod:
        """Wait for the next pod; it is in flight until ``done``, ``reject`` or ``back_off``."""
        while True:
            delay = self._flush()
            queued = self._active.pop()
            if queued is not None:
                queued.location = QueueLocation.IN_FLIGHT
                queued.attempts += 1
                return queued
            self._changed.clear()
            with contextlib.suppress(TimeoutError):  # then a pod's back-off is over
                async with self._clock.timeout(delay):
                    await self._changed.wait()

    def done(self, queued: QueuedPod) -> None:
        """End the flight of a pod that needs no more."""
        if self._pods.get(queued.pod.uid) is queued:
            del self._pods[queued.pod.uid]

    def reject(self, queued: QueuedPod, retry_on: frozenset[ClusterEvent]) -> None:
        """Let a pod that fits nowhere wait for one of the events."""
        if self._pods.get(queued.pod.uid) is not queued:
            return  # deleted, or bound by another scheduler, meanwhile
        queued.since, queued.retry_on = self._clock.monotonic(), retry_on
        queued.location = QueueLocation.UNSCHEDULABLE
        self._unschedulable[queued.pod.uid] = queued
        self._waiting[retry_on][queued.pod.uid] = queued
        self._changed.set()  # the consumer's timer may have to be shorter now

    def back_off(self, queued: QueuedPod) -> None:
        """Try a pod again after its back-off."""
        if self._pods.get(queued.pod.uid) is not queued:
            return
        queued.since = self._clock.monotonic()
        self._to_backoff(queued)

    def move(self, event: ClusterEvent) -> int:
        """Give the unschedulable pods that this event could help another chance; return how many."""
        helped = [q for events, pods in self._waiting.items() if event in events for q in pods.values()]
        for queued in helped:
            self._retry(queued)
        return len(helped)

    def backoff_of(self, attempts: int) -> float:
        """Say how long a pod rests after so many attempts, in seconds."""
        return self._delays.longest(max(attempts, 1))

    def _retry(self, queued: QueuedPod) -> None:
        self._leave_unschedulable(queued)
        if queued.since + self.backoff_of(queued.attempts) > self._clock.monotonic():
            self._to_backoff(queued)
        else:
            self._to_active(queued)

    def _leave_unschedulable(self, queued: QueuedPod) -> None:
        if self._unschedulable.pop(queued.pod.uid, None) is not None:
            group = self._waiting[queued.retry_on]
            del group[queued.pod.uid]
            if not group:
                del self._waiting[queued.retry_on]

    def _to_active(self, queued: QueuedPod) -> None:
        queued.location = QueueLocation.ACTIVE
        self._active.push(queued, -queued.pod.priority, queued.since)
        self._changed.set()

    def _to_backoff(self, queued: QueuedPod) -> None:
        queued.location = QueueLocation.BACKOFF
        self._backoff.push(queued, queued.since + self.backoff_of(queued.attempts))
        self._changed.set()

    def _flush(self) -> float | None:
        """Move what is due to active; return the seconds until something else is due, None if nothing waits."""
        now = self._clock.monotonic()
        while (rested := self._backoff.first()) is not None and rested <= now:
            if (queued := self._backoff.pop()) is not None:
                self._to_active(queued)
        due = [rested] if rested is not None else []
        while self._unschedulable:
            queued = next(iter(self._unschedulable.values()))
            if queued.since + self._max_unschedulable > now:
                due.append(queued.since + self._max_unschedulable)
                break
            self._retry(queued)
        return min(due) - now if due else None

    def statistics(self) -> dict[str, int]:
        """Count the pods in each place."""
        counts = {location.value: 0 for location in QueueLocation}
        for queued in self._pods.values():
            counts[queued.location.value] += 1
        return counts

    def check_invariants(self) -> None:
        """Raise AssertionError when a pod is nowhere or in two places."""
        self._active.check_invariants()
        self._backoff.check_invariants()
        active = [q.pod.uid for q in self._active.pods() if q.location is QueueLocation.ACTIVE]
        backoff = [q.pod.uid for q in self._backoff.pods() if q.location is QueueLocation.BACKOFF]
        in_flight = [uid for uid, q in self._pods.items() if q.location is QueueLocation.IN_FLIGHT]
        gated = [uid for uid, q in self._pods.items() if q.location is QueueLocation.GATED]
        everywhere = [*active, *backoff, *self._unschedulable, *in_flight, *gated]
        assert len(everywhere) == len(set(everywhere)), "a pod is in two places"
        assert set(everywhere) == set(self._pods), "a pod is lost"
        waiting = {uid for pods in self._waiting.values() for uid in pods}
        assert waiting == set(self._unschedulable), "the index by events is wrong"


def _asks_otherwise(old: PodInfo, new: PodInfo) -> bool:
    """Say whether an update could make the pod fit; what the scheduler itself writes to status could not."""
    return (
        old.labels != new.labels
        or old.pod.spec != new.pod.spec
        or dict(old.pod.metadata.annotations) != dict(new.pod.metadata.annotations)
    )
