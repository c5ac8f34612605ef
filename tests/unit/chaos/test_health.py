"""When an experiment calls its cluster well again: requests are judged last, and of them only those that began once
all else was well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from kubelab.apimachinery import errors
from kubelab.chaos.health import GOOD_IN_A_ROW, TOO_FEW, ClusterHealth
from kubelab.chaos.recording import Recording, RecordingWriter, ServiceRequest


@dataclass
class Machine:
    """A cluster whose looks, other than that at requests, answer ``wrong``."""

    seconds: float = 0.0
    wrong: str | errors.ApiError = ""
    recording: Recording = field(default_factory=Recording)

    def requests(self, error: str = "") -> None:
        """As many as are looked at, which begin now."""
        self.recording.requests += [ServiceRequest(self.seconds, 1.0, "hello", error)] * GOOD_IN_A_ROW


class Health(ClusterHealth):
    def __init__(self, machine: Machine) -> None:
        subject: Any = SimpleNamespace(
            recording=machine.recording,
            spec=SimpleNamespace(requests_per_second=10),
            writer=RecordingWriter(machine.recording, lambda: machine.seconds),
        )
        super().__init__(subject)
        self._machine = machine

    async def _answer(self) -> str:
        if isinstance(self._machine.wrong, errors.ApiError):
            raise self._machine.wrong
        return self._machine.wrong

    processes = leaders = nodes = pods = writes = rules = _answer


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def health(machine: Machine) -> Health:
    return Health(machine)


def look(health: Health) -> str:
    return asyncio.run(health._look(ClusterHealth.everything))


def test_requests_from_before_everything_was_well_count_for_nothing(machine: Machine, health: Health) -> None:
    machine.requests()
    machine.seconds = 1.0
    assert look(health) == TOO_FEW
    machine.seconds = 2.0
    machine.requests()
    assert look(health) == ""
    assert health._settled == 1.0, "the recovery ends when the last thing became well, not with the look at requests"


@pytest.mark.parametrize("wrong", ["node-1 is NotReady", errors.Unavailable("no api-server")], ids=["wrong", "unseen"])
def test_what_goes_wrong_meanwhile_begins_it_anew(
    machine: Machine, health: Health, wrong: str | errors.ApiError
) -> None:
    assert look(health) == TOO_FEW
    machine.seconds, machine.wrong = 1.0, wrong
    assert look(health) == getattr(wrong, "message", wrong)
    machine.requests()
    machine.seconds, machine.wrong = 2.0, ""
    assert look(health) == TOO_FEW


def test_requests_that_fail_once_everything_else_is_well_begin_it_anew(machine: Machine, health: Health) -> None:
    look(health)
    machine.requests("connection refused")
    assert look(health) == "requests fail: connection refused"
    machine.seconds = 1.0
    assert look(health) == TOO_FEW
    machine.requests()
    assert look(health) == ""
