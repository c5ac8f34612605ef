"""Who may come in, and who has to make room."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kubelab.tunnels.connectionlimits import MOST, ROOT, ConnectionLimiter, ConnectionLimits


@dataclass(eq=False)
class One:
    port: int = 1
    peer: str = "uid 1000"
    silent: bool = True
    left: list[str] = field(default_factory=list[str])

    def evict(self) -> None:
        self.left.append("gave way")


SMALL = ConnectionLimits(total=8, per_tunnel=4, per_peer=2, per_root=4)


@pytest.mark.parametrize(("descriptors", "total"), [(10, 8), (256, 96), (1024, 480), (20_000, MOST), (1_048_576, MOST)])
def test_a_process_carries_what_its_descriptors_allow(descriptors: int, total: int) -> None:
    limits = ConnectionLimits.of_descriptors(descriptors)
    assert limits == ConnectionLimits(total, total // 2, total // 4, total // 2)


def test_the_oldest_that_never_spoke_makes_room_for_the_same_peer() -> None:
    limiter = ConnectionLimiter(SMALL)
    first, second, third = One(), One(), One()
    assert limiter.admit(first)
    assert limiter.admit(second)
    assert limiter.admit(third)
    assert (first.left, second.left, third.left) == (["gave way"], [], [])


def test_who_has_spoken_stays_and_the_new_one_is_refused() -> None:
    limiter = ConnectionLimiter(SMALL)
    busy = [One(silent=False), One(silent=False)]
    assert all(map(limiter.admit, busy))
    assert not limiter.admit(One())
    assert limiter.admit(One(peer="uid 1001")), "another user has a share of its own"
    limiter.release(busy[0])
    assert limiter.admit(One())


def test_a_flood_of_one_user_leaves_room_for_others_and_root() -> None:
    limiter = ConnectionLimiter(SMALL)
    for _ in range(100):
        limiter.admit(One(silent=False))
    assert all(limiter.admit(One(peer=ROOT, port=2, silent=False)) for _ in range(SMALL.per_root))
    assert not limiter.admit(One(peer=ROOT, port=3, silent=False))
    assert limiter.admit(One(peer="uid 1001", silent=False))


class Coming(RuleBasedStateMachine):
    """Connections come, speak and leave in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = ConnectionLimiter(SMALL)
        self.there: list[One] = []

    @rule(port=st.integers(1, 3), peer=st.sampled_from([ROOT, "uid 1", "uid 2", "10.0.0.1"]))
    def come(self, port: int, peer: str) -> None:
        new = One(port, peer)
        if self.limiter.admit(new):
            self.there.append(new)
        self.there = [one for one in self.there if not one.left]

    @rule(at=st.integers(0, 7))
    def speak(self, at: int) -> None:
        if self.there:
            self.there[at % len(self.there)].silent = False

    @rule(at=st.integers(0, 7))
    def release(self, at: int) -> None:
        if self.there:
            self.limiter.release(self.there.pop(at % len(self.there)))

    @rule()
    def no_descriptor(self) -> None:
        silent = any(one.silent for one in self.there)
        assert self.limiter.make_room() == silent
        self.there = [one for one in self.there if not one.left]

    @invariant()
    def no_bound_is_passed(self) -> None:
        assert len(self.limiter) == len(self.there) <= SMALL.total
        for peer in {one.peer for one in self.there}:
            assert sum(one.peer == peer for one in self.there) <= SMALL.of_peer(peer)
        for port in {one.port for one in self.there}:
            assert sum(one.port == port for one in self.there) <= SMALL.per_tunnel
            assert len(self.limiter.all_of(port)) == sum(one.port == port for one in self.there)


TestComing = Coming.TestCase
