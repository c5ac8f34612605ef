"""Leader election: one leader at a time, by the candidate's own clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import LEASES
from kubelab.client.leaderelection import TERM, LeaderElector
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

KEY = "kube-system/kube-scheduler"


class Candidate:
    """An elector and whether its work is going on."""

    def __init__(self, server: ApiServerInMemory, clock: FakeClock, name: str, leading: list[str]) -> None:
        self.name, self.leading = name, leading
        self.times = 0
        self.finish = asyncio.Event()
        self.elector = LeaderElector(server.client(name), "kube-system", "kube-scheduler", name, clock)

    async def lead(self) -> None:
        self.times += 1
        self.leading.append(self.name)
        assert len(self.leading) == 1, f"two leaders: {self.leading}"
        try:
            await self.finish.wait()
        finally:
            self.leading.remove(self.name)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[asyncio.Task[None]]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.elector.run(self.lead))
            try:
                yield task
            finally:
                task.cancel()


async def idle() -> None:
    await asyncio.Event().wait()


class Lab:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = ApiServerInMemory(clock=self.clock)
        self.leading: list[str] = []

    def candidate(self, name: str) -> Candidate:
        return Candidate(self.server, self.clock, name, self.leading)

    def lease(self) -> coordination_pb2.Lease:
        lease = self.server.get(LEASES, KEY)
        assert lease is not None
        return lease


@pytest.fixture
def lab() -> Lab:
    return Lab()


async def test_the_first_one_creates_the_lease_and_renews_it(lab: Lab) -> None:
    async with lab.candidate("a").running():
        await lab.clock.settle()
        assert lab.leading == ["a"]
        lease = lab.server.get(LEASES, KEY)
        assert lease is not None
        assert (lease.spec.holderIdentity, lease.spec.leaseDurationSeconds, lease.spec.leaseTransitions) == ("a", 15, 0)
        acquired = lease.spec.acquireTime.seconds
        await lab.clock.advance(20)
        lease = lab.server.get(LEASES, KEY)
        assert lease is not None
        assert lease.spec.acquireTime.seconds == acquired
        assert lease.spec.renewTime.seconds == acquired + 20
        assert len(lab.server.calls_of("update", LEASES)) == 10
        assert len(lab.server.calls_of("get", LEASES)) == 1  # renewing needs no reading


async def test_another_one_waits_while_the_lease_is_renewed(lab: Lab) -> None:
    async with lab.candidate("a").running():
        await lab.clock.settle()
        async with lab.candidate("b").running():
            await lab.clock.advance(120)
            assert lab.leading == ["a"]


async def test_a_clean_stop_gives_the_lease_up_at_once(lab: Lab) -> None:
    b = lab.candidate("b")
    async with lab.candidate("a").running() as a:
        await lab.clock.settle()
        async with b.running():
            await lab.clock.advance(5)
            a.cancel()
            await lab.clock.advance(3)
            assert lab.leading == ["b"]
            lease = lab.server.get(LEASES, KEY)
            assert lease is not None
            assert lease.spec.leaseTransitions == 1  # giving it up does not count, taking it does


async def test_after_a_crash_the_lease_runs_out_on_the_follower_s_clock(lab: Lab) -> None:
    async with lab.candidate("a").running():
        await lab.clock.settle()
        async with lab.candidate("b").running():
            await lab.clock.advance(6)
            lab.server.fail(errors.Unavailable("a is cut off"), verb="update", times=1000)
            # The leader stops at its renew deadline, before the follower may begin.
            await lab.clock.advance(13)
            assert lab.leading == []
            lab.server.heal()
            await lab.clock.advance(20)
            assert len(lab.leading) == 1


async def test_a_leader_that_loses_the_lease_stops_and_campaigns_again(lab: Lab) -> None:
    a = lab.candidate("a")
    async with a.running():
        await lab.clock.settle()
        lease = lab.server.get(LEASES, KEY)
        assert lease is not None
        lease.spec.holderIdentity = "usurper"
        lab.server.add(lease)
        await lab.clock.advance(3)
        assert lab.leading == []
        await lab.clock.advance(20)
        assert lab.leading == ["a"]
        assert a.times == 2


async def test_a_short_outage_is_survived(lab: Lab) -> None:
    a = lab.candidate("a")
    async with a.running():
        await lab.clock.advance(3)
        lab.server.fail(errors.Unavailable("restarting"), times=4)
        await lab.clock.advance(30)
        assert lab.leading == ["a"]
        assert a.times == 1


async def test_it_ends_when_the_work_does_and_gives_the_lease_up(lab: Lab) -> None:
    a = lab.candidate("a")
    async with a.running() as task:
        await lab.clock.settle()
        a.finish.set()
        await lab.clock.settle()
        assert task.done()
        lease = lab.server.get(LEASES, KEY)
        assert lease is not None
        assert lease.spec.holderIdentity == ""


async def test_what_the_work_raises_comes_out(lab: Lab) -> None:
    async def broken() -> None:
        raise KeyError("bug")

    elector = lab.candidate("a").elector
    with pytest.raises(ExceptionGroup) as caught:
        await elector.run(broken)
    assert caught.group_contains(KeyError)


@pytest.mark.parametrize(("duration", "deadline", "period"), [(10, 10, 2), (15, 2, 2)])
def test_durations_that_cannot_work_are_refused(lab: Lab, duration: float, deadline: float, period: float) -> None:
    with pytest.raises(ValueError, match="must be greater"):
        LeaderElector(lab.server.client(), "ns", "name", "a", lab.clock, duration, deadline, period)


async def test_only_a_leader_has_a_fence_and_only_while_its_lease_lasts(lab: Lab) -> None:
    candidate = lab.candidate("a")
    with pytest.raises(errors.Conflict, match="a does not lead any more"):
        candidate.elector.fence()
    async with candidate.running():
        await lab.clock.settle()
        uid = lab.lease().metadata.uid
        assert candidate.elector.fence().text == f"kube-system/kube-scheduler;a;0;{uid}"
        lab.clock.skip(16)  # as a process that was frozen finds it, before any of its tasks has run
        with pytest.raises(errors.Conflict, match="a does not lead any more"):
            candidate.elector.fence()


@pytest.mark.parametrize("between", ["given up", "deleted", "made again", "led by the same name"])
async def test_a_leader_that_finds_another_term_begins_anew(lab: Lab, between: str) -> None:
    """It could have the lease again at once, but what it was about to do was decided before somebody else acted."""
    a = lab.candidate("a")
    async with a.running():
        await lab.clock.settle()
        lease = lab.lease()
        lease.spec.acquireTime.seconds += 1
        if between == "deleted":
            lab.server.remove(LEASES, KEY)
        elif between == "made again":
            lab.server.remove(LEASES, KEY)
            lease.spec.holderIdentity = ""
            lab.server.add(lease)
        else:
            lease.spec.holderIdentity = "" if between == "given up" else "a"
            lease.spec.leaseTransitions += 2
            lab.server.add(lease)
        lab.clock.skip(16)
        await lab.clock.advance(20)
        assert lab.leading == ["a"]
        assert a.times == 2
        assert a.elector.fence().transitions == lab.lease().spec.leaseTransitions


async def test_a_started_process_succeeds_a_dead_one_of_its_name_at_once_and_in_a_new_term(lab: Lab) -> None:
    dead = lab.candidate("a")
    async with dead.running():
        await lab.clock.settle()
        late = dead.elector.fence()
        lab.server.fail(errors.Unavailable("it is dead"), verb="update")  # so that it cannot give the lease up
    lab.server.heal()
    async with lab.candidate("a").running():
        await lab.clock.settle()
        assert lab.leading == ["a"]
        assert (late.transitions, lab.lease().spec.leaseTransitions) == (0, 1)


async def test_of_two_living_processes_of_one_name_one_leads(lab: Lab) -> None:
    """A mistake of whoever starts them; they do not take the lease from each other for ever."""
    first, second = lab.candidate("a"), lab.candidate("a")
    async with first.running():
        await lab.clock.settle()
        second.leading = []  # for a moment both believe that they lead; only one of them has a true fence
        async with second.running():
            await lab.clock.settle()
            assert second.leading == ["a"]
            await lab.clock.advance(120)
            assert (first.times, second.times) == (1, 1)
            assert lab.leading == []
            assert lab.lease().spec.leaseTransitions == 1


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_a_candidate_whose_success_was_not_answered_does_not_wait_for_itself(lab: Lab, verb: str) -> None:
    if verb == "update":
        async with lab.candidate("b").running():
            await lab.clock.settle()
    lab.server.fail(errors.Unavailable("the answer was lost"), verb=verb, after=True)
    async with lab.candidate("a").running():
        await lab.clock.advance(3)
        assert lab.leading == ["a"]


async def test_a_record_with_the_very_same_words_is_not_its_own(lab: Lab) -> None:
    """Another process of the same name wrote it at the same moment, and our own writing failed: who wrote counts."""
    lab.server.fail(errors.Unavailable("no answer"), verb="create")
    candidate = lab.candidate("a")
    async with candidate.running():
        await lab.clock.settle()
        assert candidate.leading == []
        claim = coordination_pb2.Lease()
        assert candidate.elector._claim is not None
        claim.CopyFrom(candidate.elector._claim)
        claim.metadata.annotations[TERM] = "of another process"
        lab.server.add(claim)
        lab.server.heal()
        await lab.clock.advance(5)
        assert candidate.leading == []


async def test_a_renewal_that_was_not_answered_keeps_the_term(lab: Lab) -> None:
    a = lab.candidate("a")
    async with a.running():
        await lab.clock.settle()
        lab.server.fail(errors.Unavailable("the answer was lost"), verb="update", after=True)
        await lab.clock.advance(30)
        assert (a.times, lab.lease().spec.leaseTransitions) == (1, 0)


async def test_the_time_of_leading_counts_from_before_the_lease_was_asked_for(lab: Lab) -> None:
    """Others count from when it was written, which may be long before its writer hears of that."""
    client = lab.server.client("a")
    create = client.create

    async def slow(lease: coordination_pb2.Lease) -> coordination_pb2.Lease:
        made = await create(lease)
        lab.clock.skip(16)
        return made

    client.create = slow  # pyright: ignore[reportAttributeAccessIssue]  nothing but leases is made here
    elector = LeaderElector(client, "kube-system", "kube-scheduler", "a", lab.clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector.run(idle))
        await lab.clock.settle()
        with pytest.raises(errors.Conflict, match="a does not lead any more"):
            elector.fence()
        task.cancel()
