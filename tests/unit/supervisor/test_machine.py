"""States of a process, and how long it rests before it is started again."""

from __future__ import annotations

import random

import pytest

from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.supervisor.keeperstates import (
    MAX_DELAY,
    MOVES,
    STABLE_SECONDS,
    BackOff,
    IllegalKeeperMove,
    KeeperEvent,
    KeeperMachine,
    KeeperState,
)

LIVES = [
    ("a calm life", [KeeperEvent.START, KeeperEvent.HEALTHY, KeeperEvent.STOPPED], KeeperState.STOPPED),
    (
        "killed and back",
        [KeeperEvent.START, KeeperEvent.HEALTHY, KeeperEvent.EXITED, KeeperEvent.START],
        KeeperState.STARTING,
    ),
    (
        "unwell for a while",
        [KeeperEvent.START, KeeperEvent.HEALTHY, KeeperEvent.UNHEALTHY, KeeperEvent.HEALTHY],
        KeeperState.RUNNING,
    ),
    ("not yet well is still starting", [KeeperEvent.START, KeeperEvent.UNHEALTHY], KeeperState.STARTING),
    (
        "frozen: its health says nothing",
        [KeeperEvent.START, KeeperEvent.HEALTHY, KeeperEvent.PAUSE, KeeperEvent.UNHEALTHY],
        KeeperState.PAUSED,
    ),
    ("thawed", [KeeperEvent.START, KeeperEvent.PAUSE, KeeperEvent.RESUME, KeeperEvent.HEALTHY], KeeperState.RUNNING),
    ("killed while frozen", [KeeperEvent.START, KeeperEvent.PAUSE, KeeperEvent.EXITED], KeeperState.BACK_OFF),
    ("stopped while it rests", [KeeperEvent.START, KeeperEvent.EXITED, KeeperEvent.STOPPED], KeeperState.STOPPED),
]


@pytest.mark.parametrize(("events", "end"), [life[1:] for life in LIVES], ids=[life[0] for life in LIVES])
def test_lives(events: list[KeeperEvent], end: KeeperState) -> None:
    machine = KeeperMachine("x")
    for event in events:
        machine.apply(event)
    assert machine.state is end


def test_an_illegal_move_tells_the_history() -> None:
    machine = KeeperMachine("scheduler@cp-1")
    machine.apply(KeeperEvent.START)
    with pytest.raises(IllegalKeeperMove, match=r"scheduler@cp-1: start in state STARTING; history: STOPPED\+start"):
        machine.apply(KeeperEvent.START)


def test_the_numbers_are_the_contracts() -> None:
    assert {state.name: state.value for state in KeeperState} == {
        name: number for name, number in pb.Process.State.items() if number
    }


def test_every_state_can_be_reached() -> None:
    assert set(MOVES.values()) == set(KeeperState)


def test_delays_double_to_a_limit_with_jitter() -> None:
    back_off = BackOff(random.Random(1))
    delays = [back_off.after(0.0) for _ in range(10)]
    for n, delay in enumerate(delays):
        least = min(0.1 * 2**n, MAX_DELAY)
        assert least <= delay <= least * 1.2


def test_a_long_life_starts_the_delays_afresh() -> None:
    back_off = BackOff(random.Random(1))
    for _ in range(8):
        back_off.after(0.0)
    assert back_off.after(STABLE_SECONDS) < 0.2
