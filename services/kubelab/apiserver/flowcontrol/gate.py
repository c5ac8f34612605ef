"""What every request passes between authentication and authorisation: it gets seats of its priority level, at once,
after a wait in a queue, or not at all.

The uncontended way is synchronous: a look-up of the request's flow, which is remembered, and a few sums. Only a request
that waits has a future. Everything here runs in one event loop; the levels' own state is in :mod:`queueset`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.flowcontrol import defaultobjects, matching
from kubelab.apiserver.flowcontrol.concurrency import Pool, Share, nominal_seats, percent
from kubelab.apiserver.flowcontrol.matching import Digest
from kubelab.apiserver.flowcontrol.queueset import CANCELLED, TIME_OUT, QueueSet, Queuing, Rejected, Ticket
from kubelab.apiserver.flowcontrol.retryafter import RetryAfter
from kubelab.apiserver.flowcontrol.shuffling import deal, flow_hash

WAIT_SECONDS = 15.0  # in a queue: a quarter of a request's minute, as upstream
MOST_FLOWS = 4096  # that are remembered
TOO_MANY = "Too many requests, please try again later."
WAIT_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)  # seconds, as upstream


@dataclass(slots=True, eq=False)
class Level:
    """A priority level at work."""

    name: str
    uid: str
    queues: QueueSet
    retry_after: RetryAfter


@dataclass(slots=True)
class Counts:
    """What became of the requests of one schema at one level, for the metrics. ``waits`` counts, by bucket, the seconds
    in a queue of those that were executed at last, and of those that were not; ``waited`` are their sums."""

    dispatched: int = 0
    executing: int = 0
    executing_seats: int = 0
    waiting: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    waits: dict[bool, list[int]] = field(
        default_factory=lambda: {executed: [0] * (len(WAIT_BUCKETS) + 1) for executed in (True, False)}
    )
    waited: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})

    def note_wait(self, seconds: float, *, executed: bool) -> None:
        place = next((i for i, bound in enumerate(WAIT_BUCKETS) if seconds <= bound), len(WAIT_BUCKETS))
        self.waits[executed][place] += 1
        self.waited[executed] += seconds


@dataclass(slots=True, eq=False)
class Flow:
    """Requests that are treated alike: of one schema and distinguisher, and so with one hand of queues."""

    schema: str
    schema_uid: str
    distinguisher: str
    level: Level
    hand: tuple[int, ...]
    counts: Counts


class Gate:
    """The priority levels of one server process, which executes about ``total`` requests at once."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._total, self._clock = total, clock
        self._pool = Pool()
        self.levels: dict[str, Level] = {}
        self.counts: dict[tuple[str, str], Counts] = {}
        """By level and schema."""
        self._schemas: list[pb.FlowSchema] = []
        self._catch_all = defaultobjects.SCHEMAS[defaultobjects.CATCH_ALL]
        self._flows: dict[Digest, Flow] = {}
        self._starved: set[QueueSet] = set()  # levels with requests that wait
        self.configure((), ())

    def configure(self, levels: Iterable[pb.PriorityLevelConfiguration], schemas: Iterable[pb.FlowSchema]) -> None:
        """Work by these objects from now on. Requests under way end where they began; a level whose object is gone
        takes in no new ones. The objects that every cluster begins with hold until they are stored, or are again."""
        wanted = {**defaultobjects.LEVELS, **{one.metadata.name: one for one in levels}}
        now = self._clock.monotonic()
        nominal = nominal_seats(self._total, map(_shares, wanted.values()))
        self.levels = {
            name: self._level(spec, seats, now) for (name, spec), seats in zip(wanted.items(), nominal, strict=True)
        }
        self._pool.shares = [level.queues.share for level in self.levels.values()]
        known = {**defaultobjects.SCHEMAS, **{one.metadata.name: one for one in schemas}}
        usable = (one for one in known.values() if one.spec.priorityLevelConfiguration.name in self.levels)
        self._schemas, self._catch_all = matching.in_order(usable), known[defaultobjects.CATCH_ALL]
        self._flows.clear()
        for level in self.levels.values():  # a limit may have grown
            self._dispatch(level.queues, now)

    def _level(self, obj: pb.PriorityLevelConfiguration, nominal: int, now: float) -> Level:
        name, spec = obj.metadata.name, obj.spec
        level = self.levels.get(name)
        if level is None:
            level = Level(name, "", QueueSet(self._pool, Share(), Queuing()), RetryAfter(now))
        level.uid = obj.metadata.uid
        share = level.queues.share
        share.exempt, share.nominal = spec.type == "Exempt", nominal
        part = spec.exempt if share.exempt else spec.limited
        share.lendable = percent(nominal, part.lendablePercent)
        limited = spec.limited
        bounded = limited.HasField("borrowingLimitPercent")
        share.borrowing = percent(nominal, limited.borrowingLimitPercent) if bounded else float("inf")
        queuing = limited.limitResponse.queuing
        level.queues.queuing = Queuing(queuing.queues, queuing.handSize, queuing.queueLengthLimit)
        return level

    def flow(self, digest: Digest) -> Flow:
        """Find a request's flow."""
        found = self._flows.get(digest)
        if found is None:
            if len(self._flows) >= MOST_FLOWS:
                self._flows.clear()
            found = self._flows[digest] = self._classify(digest)
        return found

    def _classify(self, digest: Digest) -> Flow:
        schema = next((one for one in self._schemas if matching.matches(one, digest)), self._catch_all)
        name, own = schema.metadata.name, matching.distinguisher(schema, digest)
        level = self.levels[schema.spec.priorityLevelConfiguration.name]
        queuing = level.queues.queuing
        hand = deal(flow_hash(name, own), queuing.queues, queuing.hand) if queuing.queues else ()
        counts = self.counts.setdefault((level.name, name), Counts())
        return Flow(name, schema.metadata.uid, own, level, hand, counts)

    def enter(self, flow: Flow, seats: int, label: object = None) -> Ticket:
        """Take a request in. One that is ``waiting`` has to await :meth:`turn` next. TooManyRequests."""
        queues = flow.level.queues
        now = self._clock.monotonic()
        try:
            ticket = queues.arrive(flow.hand, seats, now, label)
        except Rejected as refused:
            raise self._refusal(flow, str(refused), now) from None
        counts = flow.counts
        if ticket.waiting:
            counts.waiting += 1
            self._starved.add(queues)
        else:
            counts.dispatched += 1
            counts.executing += 1
            counts.executing_seats += seats
        return ticket

    async def turn(self, flow: Flow, ticket: Ticket) -> None:
        """Wait until a request's turn has come. TooManyRequests when that takes too long."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def grant() -> None:
            if not turn.done():  # it may be over by a cancellation that is not known yet
                turn.set_result(None)

        ticket.granted = grant
        try:
            async with self._clock.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError:
            if ticket.waiting:
                raise self._left(flow, ticket, TIME_OUT) from None
        except BaseException:
            if ticket.waiting:
                self._left(flow, ticket, CANCELLED)
            else:
                self._begun(flow, ticket)
                self.leave(flow, ticket)
            raise
        self._begun(flow, ticket)

    def leave(self, flow: Flow, ticket: Ticket) -> None:
        """Give a request's seats back."""
        queues, now = flow.level.queues, self._clock.monotonic()
        counts = flow.counts
        counts.executing -= 1
        counts.executing_seats -= ticket.seats
        queues.finish(ticket, now)
        if self._starved:
            for one in list(self._starved):  # what they borrow may be free now
                self._dispatch(one, now)

    def _dispatch(self, queues: QueueSet, now: float) -> None:
        queues.dispatch(now)
        if not queues.waiting:
            self._starved.discard(queues)

    def _begun(self, flow: Flow, ticket: Ticket) -> None:
        counts = flow.counts
        counts.waiting -= 1
        counts.dispatched += 1
        counts.executing += 1
        counts.executing_seats += ticket.seats
        counts.note_wait(ticket.started - ticket.arrived, executed=True)

    def _left(self, flow: Flow, ticket: Ticket, reason: str) -> errors.TooManyRequests:
        now = self._clock.monotonic()
        flow.level.queues.leave(ticket, now)
        flow.counts.waiting -= 1
        flow.counts.note_wait(now - ticket.arrived, executed=False)
        return self._refusal(flow, reason, now)

    def _refusal(self, flow: Flow, reason: str, now: float) -> errors.TooManyRequests:
        counts = flow.counts
        counts.rejected[reason] = counts.rejected.get(reason, 0) + 1
        return errors.too_many_requests(TOO_MANY, flow.level.retry_after.refused(now))


def _shares(level: pb.PriorityLevelConfiguration) -> int:
    spec = level.spec
    return spec.exempt.nominalConcurrencyShares if spec.type == "Exempt" else spec.limited.nominalConcurrencyShares
