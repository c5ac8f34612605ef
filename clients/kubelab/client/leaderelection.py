"""Leader election over a Lease, with upstream's rules (client-go ``leaderelection.go``).

A candidate watches the record, not the clock of the process that wrote it: it takes over when the record has not
changed for ``lease_duration`` on its own monotonic clock. The leader renews every ``retry_period`` and gives up when it
could not for ``renew_deadline``, which is shorter: it has stopped before anyone else may begin.

Stricter than upstream in one thing: each time of leading is a term of its own, with a random name in an annotation of
the Lease. Only the leader of that term can have written it, even where the rest of the record is equal. A leader that
finds another term than its own has lost, even if it could acquire the lease again at once: it made its decisions before
another leader acted. A process that starts succeeds a dead one of its own name without waiting, in a new term, so that
what the dead one has left on its way is refused (decision 0008).

One elector does one step at a time. ``lead`` runs beside the renewal, in the same task group, and is cancelled
before :meth:`LeaderElector.run` campaigns again. It may be called many times.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import LEASES
from kubelab.apimachinery.timestamps import from_time, to_micro_time
from kubelab.client.client import Client
from kubelab.client.controller import WorkerLogger
from kubelab.rpc import tracing
from kubelab.rpc.fencing import Fence

JITTER = 1.2
TERM = "leaderelection.kubelab.io/term"  # annotation of a Lease


def holder(lease: coordination_pb2.Lease, now: float) -> str:
    """Return the process that leads by this Lease at a time of day, ``""`` when it has expired. For observers."""
    return lease.spec.holderIdentity if now < expiry(lease) else ""


def expiry(lease: coordination_pb2.Lease) -> float:
    """When a Lease expires unless it is renewed, by its writer's clock (seconds since the epoch)."""
    return from_time(lease.spec.renewTime) + lease.spec.leaseDurationSeconds


class LeadershipLost(Exception):
    """Renewing failed for longer than the deadline, or another one holds the lease."""


@dataclass(slots=True)
class _Observed:
    """The record as this candidate saw it last, and since when its time counts (monotonic seconds)."""

    lease: coordination_pb2.Lease
    at: float


class LeaderElector:
    """See the module. Times are seconds; ``identity`` is unique among the candidates that live: a process's name."""

    def __init__(
        self,
        client: Client,
        lease_namespace: str,
        lease_name: str,
        identity: str,
        clock: Clock,
        lease_duration: float = 15,
        renew_deadline: float = 10,
        retry_period: float = 2,
        *,
        log: WorkerLogger | None = None,
    ) -> None:
        if lease_duration <= renew_deadline:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if renew_deadline <= JITTER * retry_period:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")
        self._client, self._namespace, self._name = client, lease_namespace, lease_name
        self.identity = identity
        self._clock = clock
        self._lease_duration, self._renew_deadline, self._retry_period = lease_duration, renew_deadline, retry_period
        self._observed: _Observed | None = None
        self._claim: coordination_pb2.Lease | None = None  # as this candidate has begun its last term
        self._looked = False
        self._log: WorkerLogger = log or structlog.get_logger()

    @property
    def leader(self) -> str:
        """The holder of the lease, as far as this candidate knows; ``""`` when it is free."""
        return self._observed.lease.spec.holderIdentity if self._observed else ""

    def is_leader(self) -> bool:
        """Say whether this candidate holds the lease, as far as it knows."""
        return self._observed is not None and self._is_own(self._observed.lease)

    def _is_own(self, lease: coordination_pb2.Lease) -> bool:
        """Say whether this is the term that we have begun, and not another one of the same name."""
        if self._claim is None:
            return False
        spec, ours = lease.spec, self._claim.spec
        return (
            lease.metadata.annotations.get(TERM) == self._claim.metadata.annotations[TERM]
            and spec.holderIdentity == ours.holderIdentity
            and spec.leaseTransitions == ours.leaseTransitions
            and spec.acquireTime == ours.acquireTime
        )

    def fence(self) -> Fence:
        """Give what a leader's writes carry. Conflict when this is no leader, or its time is over by its own clock."""
        observed = self._observed
        if observed is None or not self.is_leader() or not self._valid(observed):
            message = f"{self.identity} does not lead any more"
            raise errors.conflict("leases", self._name, message, "coordination.k8s.io")
        lease = observed.lease
        return Fence(self._namespace, self._name, self.identity, lease.spec.leaseTransitions, lease.metadata.uid)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Campaign for ever; while leader, run ``lead``. Ends when ``lead`` does, or is cancelled; gives the lease up.

        What ``lead`` raises comes out, in the group that it ran in.
        """
        ended = False
        while not ended:
            await self._acquire()
            self._log.warning("became leader", lease=self._name, identity=self.identity)
            try:
                ended = await self._lead(lead)
            finally:
                await self._release()

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead and renew; True when ``lead`` ended by itself, False when the leadership was lost."""
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(_whole(lead), name=f"lead-{self._name}")
                renew = group.create_task(self._renew(), name=f"renew-{self._name}")
                await work
                renew.cancel()
        except* LeadershipLost:
            self._log.warning("lost leadership", lease=self._name, identity=self.identity, leader=self.leader)
            lost = True
        else:
            lost = False
        return not lost

    async def _acquire(self) -> None:
        while not await self._attempt(self._take, self._renew_deadline):
            await self._clock.sleep(jittered(self._retry_period, JITTER - 1))

    async def _renew(self) -> None:
        """Keep the lease; raise LeadershipLost when that failed for ``renew_deadline``."""
        while True:
            await self._clock.sleep(self._retry_period)
            deadline = self._clock.monotonic() + self._renew_deadline
            while not await self._attempt(self._keep, deadline - self._clock.monotonic()):
                if not self.is_leader() or self._clock.monotonic() + self._retry_period >= deadline:
                    raise LeadershipLost
                await self._clock.sleep(self._retry_period)

    async def _attempt(self, step: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Try once to get or keep the lease; say whether we hold it."""
        try:
            async with self._clock.timeout(seconds):
                with tracing.root():
                    return await step()
        except TimeoutError:
            return False
        except ApiError as err:
            self._log.warning("lease not updated", lease=self._name, reason=err.reason, error=err.message)
            return False

    async def _take(self) -> bool:
        """Begin a term, unless another one's lasts."""
        first_look, self._looked = not self._looked, True
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return await self._write(self._begun(None))
        if self._observed is None or self._observed.lease.spec != lease.spec:
            self._saw(lease, self._clock.monotonic())
        else:
            self._observed.lease = lease  # the same record, perhaps at another revision
        observed = self._observed
        assert observed is not None
        # It is ours where the answer to our own writing was lost, and our predecessor's where it bears our name when we
        # look for the first time: two processes of one name never run at once.
        free = not self.leader or self._is_own(lease) or (first_look and self.leader == self.identity)
        if not free and self._valid(observed):
            return False
        return await self._write(self._begun(lease))

    async def _keep(self) -> bool:
        """Renew the term that we are in; False, with ``is_leader`` false too, when it is over."""
        observed = self._observed
        assert observed is not None
        if self._valid(observed):
            try:  # no other candidate may write it now: no need to read it first
                return await self._write(self._renewed(observed.lease))
            except ApiError as err:
                self._log.warning("lease changed, reading it", lease=self._name, reason=err.reason)
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            self._observed = None  # the candidate that creates it again begins a new term
            return False
        if not self._is_own(lease):
            self._saw(lease, self._clock.monotonic())
            return False
        return await self._write(self._renewed(lease))

    async def _write(self, lease: coordination_pb2.Lease) -> bool:
        """Write it as ours. Its time counts from before it was sent: others may count from when it was written."""
        requested_at = self._clock.monotonic()
        self._claim = lease
        writing = self._client.update(lease) if lease.metadata.resourceVersion else self._client.create(lease)
        self._saw(await writing, requested_at)
        return True

    def _saw(self, lease: coordination_pb2.Lease, at: float) -> None:
        self._observed = _Observed(lease, at)

    def _valid(self, observed: _Observed) -> bool:
        return observed.at + observed.lease.spec.leaseDurationSeconds > self._clock.monotonic()

    def _begun(self, old: coordination_pb2.Lease | None) -> coordination_pb2.Lease:
        """Give the lease as it is when we hold it from now on, in a new term."""
        lease = coordination_pb2.Lease()
        if old is None:
            lease.metadata.name, lease.metadata.namespace = self._name, self._namespace
            lease.spec.leaseTransitions = 0
        else:
            lease.CopyFrom(old)
            lease.spec.leaseTransitions += 1
        lease.metadata.annotations[TERM] = uuid.uuid4().hex
        lease.spec.holderIdentity = self.identity
        lease.spec.acquireTime.CopyFrom(to_micro_time(self._clock.time()))
        return self._renewed(lease)

    def _renewed(self, held: coordination_pb2.Lease) -> coordination_pb2.Lease:
        lease = deep_copy(held)
        lease.spec.leaseDurationSeconds = max(1, round(self._lease_duration))
        lease.spec.renewTime.CopyFrom(to_micro_time(self._clock.time()))
        return lease

    def _released(self, held: coordination_pb2.Lease) -> coordination_pb2.Lease:
        lease = self._renewed(held)
        lease.spec.holderIdentity = ""
        lease.spec.leaseDurationSeconds = 1
        return lease

    async def _release(self) -> None:
        """Let the next one in at once, if we still hold the lease; best effort, within one second."""
        if self._observed is None or not self.is_leader():
            return
        try:
            async with self._clock.timeout(1):
                try:
                    await self._client.update(self._released(self._observed.lease))
                except Conflict:  # a renewal was under way when leading was cancelled, and it was written
                    lease = await self._client.get(LEASES, self._name, self._namespace)
                    if self._is_own(lease):
                        await self._client.update(self._released(lease))
        except (ApiError, TimeoutError) as err:
            self._log.warning("lease not released", lease=self._name, error=str(err))
        self._observed = None


async def _whole(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()
