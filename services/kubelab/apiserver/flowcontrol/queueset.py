"""Fair queuing of one priority level: who of those that wait is executed next. Pure: times are given, nothing blocks.

A flow's requests go into the least loaded of the queues that it was dealt. ``R``, the virtual time, is the work in
seat-seconds that each queue with requests should have got since the beginning. A queue's ``next_r`` is the R at which
its next request begins: at a request's start it moves on by an expected duration, at its end it is corrected by the
true one. The queue whose next request would end first in virtual time is next. So a flow with a thousand requests
and a flow with one get the same share of the seats.

While nobody waits and there are seats, a request is executed at once, and only counted: R runs from the moment in
which somebody has to wait. A queue without requests has no state and is forgotten, so their number costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kubelab.apiserver.flowcontrol.concurrency import Pool, Share

EXPECTED_SECONDS = 0.003  # of a request, until its end tells
QUEUE_FULL, CONCURRENCY_LIMIT, TIME_OUT, CANCELLED = "queue-full", "concurrency-limit", "time-out", "cancelled"
"""Why requests are refused, as upstream's metric has it; the last two of those that waited."""


_COUNTED = (0,)


@dataclass(frozen=True, slots=True)
class Queuing:
    """How many queues a level has, how many of them a flow is dealt, and how long each may grow. Without queues what
    finds no seat is refused."""

    queues: int = 0
    hand: int = 0
    length: int = 0


class Rejected(Exception):
    """A request for which there is neither a seat nor a place in a queue; the text is the reason."""


class Queue:
    """The requests of the flows that share it."""

    __slots__ = ("executing", "index", "next_r", "seats", "waiting")

    def __init__(self, index: int) -> None:
        self.index, self.next_r = index, 0.0
        self.waiting: deque[Ticket] = deque()
        self.executing = self.seats = 0
        """Requests that are executed; seats of these and of those that wait."""


class Ticket:
    """One request at its level: it waits, then it is executed. ``granted`` is called when its turn has come."""

    __slots__ = ("arrived", "granted", "label", "queue", "seats", "started")

    def __init__(self, queue: Queue, seats: int, arrived: float, label: object) -> None:
        self.queue, self.seats, self.arrived, self.label = queue, seats, arrived, label
        self.started = -1.0
        self.granted: Callable[[], None] | None = None

    @property
    def waiting(self) -> bool:
        return self.started < 0


class QueueSet:
    """The requests of one level. ``share`` has its seats, of the server's ``pool``."""

    def __init__(self, pool: Pool, share: Share, queuing: Queuing) -> None:
        self._pool, self.share, self.queuing = pool, share, queuing
        self._active: dict[int, Queue] = {}  # with requests that wait or are executed
        self._waiting: dict[int, Queue] = {}  # with requests that wait, in the order of their turns
        self._r = self._last = self._began = 0.0
        self.waiting = self._waiting_seats = self.executing = 0

    @property
    def queues(self) -> list[Queue]:
        """Those with requests."""
        return sorted(self._active.values(), key=lambda queue: queue.index)

    def arrive(self, hand: tuple[int, ...], seats: int, now: float, label: object = None) -> Ticket:
        """Take a request in: it is executed at once, or waits. Rejected."""
        share = self.share
        if not self._waiting and (share.in_use + seats <= share.nominal or self._pool.fits(share, seats)):
            queue = self._choose(hand)
            ticket = Ticket(queue, seats, now, label)
            ticket.started = now
            queue.executing += 1
            queue.seats += seats
            self.executing += 1
            share.in_use += seats
            return ticket
        if not hand:
            raise Rejected(CONCURRENCY_LIMIT)
        self._advance(now)
        queue = self._choose(hand)
        if len(queue.waiting) >= self.queuing.length:
            raise Rejected(QUEUE_FULL)
        ticket = Ticket(queue, seats, now, label)
        queue.waiting.append(ticket)
        queue.seats += seats
        self._waiting[queue.index] = queue
        self.waiting += 1
        self._waiting_seats += seats
        self.dispatch(now)
        return ticket

    def dispatch(self, now: float) -> None:
        """Execute what there are seats for."""
        if self._waiting:
            self._advance(now)
        while self._waiting:
            queue = min(self._waiting.values(), key=_virtual_finish)
            ticket = queue.waiting[0]
            if not self._pool.fits(self.share, ticket.seats):
                return
            self._take_out(ticket)
            if queue.waiting:  # of those that are equal the others come first
                self._waiting[queue.index] = self._waiting.pop(queue.index)
            self._start(ticket, now)
            if ticket.granted is not None:
                ticket.granted()

    def finish(self, ticket: Ticket, now: float) -> None:
        """Give a request's seats back, and execute others."""
        queue, seats = ticket.queue, ticket.seats
        if self._waiting:
            self._advance(now)
            queue.next_r += seats * (now - max(ticket.started, self._began) - EXPECTED_SECONDS)
        queue.executing -= 1
        queue.seats -= seats
        self.executing -= 1
        self.share.in_use -= seats
        if not queue.executing and not queue.waiting:
            del self._active[queue.index]
        if self._waiting:
            self.dispatch(now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Take out a request that waits no longer."""
        self._advance(now)
        self._take_out(ticket)
        queue = ticket.queue
        queue.seats -= ticket.seats
        if not queue.executing and not queue.waiting:
            del self._active[queue.index]
        self.dispatch(now)  # it may have been a wide one for which others had to wait

    def _advance(self, now: float) -> None:
        """Let R run on; it begins anew where nobody waited."""
        if self._waiting:
            share = self.share
            rate = max(share.in_use, min(share.nominal, share.in_use + self._waiting_seats))
            self._r += (now - self._last) * rate / len(self._active)
        else:
            self._r, self._began = 0.0, now
            for queue in self._active.values():
                queue.next_r = queue.seats * EXPECTED_SECONDS
        self._last = now

    def _choose(self, hand: tuple[int, ...]) -> Queue:
        """Give the least loaded queue of a hand; a level without queues keeps one for its counts."""
        active = self._active
        for index in hand or _COUNTED:
            if index not in active:
                queue = active[index] = Queue(index)
                queue.next_r = self._r
                return queue
        return min((active[index] for index in hand or _COUNTED), key=_seats)

    def _start(self, ticket: Ticket, now: float) -> None:
        ticket.started = now
        queue = ticket.queue
        queue.executing += 1
        queue.next_r += ticket.seats * EXPECTED_SECONDS
        self.executing += 1
        self.share.in_use += ticket.seats

    def _take_out(self, ticket: Ticket) -> None:
        queue = ticket.queue
        queue.waiting.remove(ticket)
        self.waiting -= 1
        self._waiting_seats -= ticket.seats
        if not queue.waiting:
            del self._waiting[queue.index]

    def check_invariants(self) -> None:
        """AssertionError where the counts are not those of the requests."""
        queues = self._active.values()
        assert self.waiting == sum(len(queue.waiting) for queue in queues)
        assert self._waiting_seats == sum(ticket.seats for queue in queues for ticket in queue.waiting)
        assert self.executing == sum(queue.executing for queue in queues)
        assert {queue.index for queue in queues if queue.waiting} == set(self._waiting)
        assert all(queue.waiting or queue.executing for queue in queues)


def _seats(queue: Queue) -> int:
    return queue.seats


def _virtual_finish(queue: Queue) -> float:
    return queue.next_r + queue.waiting[0].seats * EXPECTED_SECONDS
