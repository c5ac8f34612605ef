"""States of a process, and how long it rests before it is started again."""

from __future__ import annotations

import random

import pytest

from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.supervisor.machine import MAX_DELAY, MOVES, STABLE_SECONDS, BackOff, Event, IllegalMove, Machine, State

LIVES = [
    ("a calm life", [Event.START, Event.HEALTHY, Event.STOPPED], State.STOPPED),
    ("killed and back", [Event.START, Event.HEALTHY, Event.EXITED, Event.START], State.STARTING),
    ("unwell for a while", [Event.START, Event.HEALTHY, Event.UNHEALTHY, Event.HEALTHY], State.RUNNING),
    ("not yet well is still starting", [Event.START, Event.UNHEALTHY], State.STARTING),
    ("frozen: its health says nothing", [Event.START, Event.HEALTHY, Event.PAUSE, Event.UNHEALTHY], State.PAUSED),
    ("thawed", [Event.START, Event.PAUSE, Event.RESUME, Event.HEALTHY], State.RUNNING),
    ("killed while frozen", [Event.START, Event.PAUSE, Event.EXITED], State.BACK_OFF),
    ("stopped while it rests", [Event.START, Event.EXITED, Event.STOPPED], State.STOPPED),
]


@pytest.mark.parametrize(("events", "end"), [life[1:] for life in LIVES], ids=[life[0] for life in LIVES])
def test_lives(events: list[Event], end: State) -> None:
    machine = Machine("x")
    for event in events:
        machine.apply(event)
    assert machine.state is end


def test_an_illegal_move_tells_the_history() -> None:
    machine = Machine("scheduler@cp-1")
    machine.apply(Event.START)
    with pytest.raises(IllegalMove, match=r"scheduler@cp-1: start in state STARTING; history: STOPPED\+start"):
        machine.apply(Event.START)


def test_the_numbers_are_the_contracts() -> None:
    assert {state.name: state.value for state in State} == {
        name: number for name, number in pb.Process.State.items() if number
    }


def test_every_state_can_be_reached() -> None:
    assert set(MOVES.values()) == set(State)


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
