"""What is waited for, and what is not worth waiting for."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.cli.readiness import GIVE_UP_RESTARTS, Faulted, Readiness, UpFailed
from kubelab.cluster.driver import ClusterStatus, Process, ProcessState
from kubelab.topology.record import Record

RECORD = Record(Path("/home"), "lab", "00000000", ("cp-1",), (4000,))


def status(state: ProcessState, *, restarts: int = 0) -> ClusterStatus:
    return ClusterStatus("lab", (Process("scheduler@cp-1", "scheduler", "cp-1", 0, 0.0, restarts, state),), ())


def readiness() -> Readiness:
    return Readiness(RECORD, lambda _emoji, _text: None)


@pytest.mark.parametrize(("state", "verb"), [(ProcessState.STOPPED, "start"), (ProcessState.PAUSED, "resume")])
def test_what_somebody_keeps_down_is_told_at_once(state: ProcessState, verb: str) -> None:
    with pytest.raises(Faulted, match=f"is {state.value}; .* kubelab fault {verb} scheduler@cp-1 --name lab"):
        readiness().heard_processes(status(state))


def test_what_has_not_begun_yet_is_waited_for() -> None:
    waiting = readiness()
    for state in (ProcessState.WAITING, ProcessState.STARTING, ProcessState.UNHEALTHY, ProcessState.BACK_OFF):
        waiting.heard_processes(status(state))


def test_what_ends_again_and_again_is_given_up() -> None:
    waiting = readiness()
    waiting.heard_processes(status(ProcessState.BACK_OFF))
    with pytest.raises(UpFailed, match="scheduler@cp-1 keeps failing"):
        waiting.heard_processes(status(ProcessState.BACK_OFF, restarts=GIVE_UP_RESTARTS))
