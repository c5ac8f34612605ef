"""Conditions: added, changed, left alone, and what that does to the transition time."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import get_condition, is_true, keep_transition_times, set_condition


def test_a_condition_is_added_once_and_only_a_changed_status_moves_its_time() -> None:
    status = core_pb2.NodeStatus()
    assert set_condition(status.conditions, "Ready", "False", 100.7, reason="Starting", message="wait")
    [ready] = status.conditions
    assert (ready.status, ready.reason, ready.message, ready.lastTransitionTime.seconds) == (
        *("False", "Starting", "wait"),
        100,
    )
    assert not set_condition(status.conditions, "Ready", "False", 200, reason="Starting", message="wait")
    assert set_condition(status.conditions, "Ready", "False", 300, reason="StillStarting")
    assert (ready.reason, ready.message, ready.lastTransitionTime.seconds) == ("StillStarting", "", 100)
    assert set_condition(status.conditions, "Ready", "True", 400)
    assert (ready.reason, ready.lastTransitionTime.seconds) == ("", 400)
    assert len(status.conditions) == 1


def test_conditions_are_found_by_type() -> None:
    pod = core_pb2.PodStatus()
    pod.conditions.add(type="Ready", status="True")
    pod.conditions.add(type="Initialized", status="False")
    assert is_true(pod.conditions, "Ready")
    assert not is_true(pod.conditions, "Initialized")
    assert not is_true(pod.conditions, "PodScheduled")
    assert get_condition(pod.conditions, "PodScheduled") is None


def test_computed_conditions_keep_the_time_of_what_did_not_change() -> None:
    last = core_pb2.PodStatus()
    set_condition(last.conditions, "Ready", "True", 100)
    last.conditions.add(type="ContainersReady", status="True")  # by a writer that set no time
    fresh = [core_pb2.PodCondition(type=kind, status="True") for kind in ("Ready", "ContainersReady", "PodScheduled")]
    fresh[2].status = "False"
    keep_transition_times(fresh, last.conditions, 500)
    assert [c.lastTransitionTime.seconds for c in fresh] == [100, 500, 500]
