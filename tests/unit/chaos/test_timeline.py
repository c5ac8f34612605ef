"""From a recording to bars and lines: nothing is lost, nothing lies outside of the page."""

from __future__ import annotations

import pytest

from kubelab.chaos import timeline
from kubelab.chaos.recording import Fault, Recording, ServiceRequest
from kubelab.chaos.timeline import Axis

AXIS = Axis(10.0)


def test_a_state_lasts_until_the_next_one() -> None:
    (row,) = timeline.states(
        AXIS, [(0.01, "etcd@cp-1", "Running"), (2, "etcd@cp-1", "Stopped"), (5, "etcd@cp-1", "Running")]
    )
    assert [(bar.state, bar.left, bar.width) for bar in row.bars] == [
        ("Running", 0, 20),
        ("Stopped", 20, 30),
        ("Running", 50, 50),
    ]
    assert row.eventful
    assert row.tooltip == "etcd@cp-1: Running, 0.0 s to 2.0 s; Stopped, 2.0 s to 5.0 s; Running, 5.0 s to 10.0 s"


def test_what_is_gone_is_not_drawn() -> None:
    (row,) = timeline.states(AXIS, [(1, "web", "Ready"), (4, "web", "Gone")])
    assert [(bar.state, bar.left, bar.width) for bar in row.bars] == [("Ready", 10, 30)]


def test_pods_are_named_with_the_node_that_they_got() -> None:
    recording = Recording(pods=[(1, "web", "", "Pending"), (2, "web", "node-1", "Ready"), (1, "lost", "", "Pending")])
    assert [row.name for row in timeline.pods(AXIS, recording)] == ["web on node-1", "lost on no node"]


def test_a_leader_that_is_away_still_holds_its_lease() -> None:
    recording = Recording(
        leaders=[(0, "scheduler", "scheduler@cp-1"), (6, "scheduler", ""), (7, "scheduler", "scheduler@cp-2")],
        processes=[
            (0, "scheduler@cp-1", "Running"),
            (2, "scheduler@cp-1", "Paused"),
            (8, "scheduler@cp-1", "Running"),
            (0, "scheduler@cp-2", "Running"),
        ],
    )
    (row,) = timeline.leaders(AXIS, recording)
    assert [(bar.state, bar.begin, bar.end) for bar in row.bars] == [
        ("leader", 0.0, 2),
        ("absent", 2, 6),
        ("leaderless", 6, 7),
        ("leader", 7, 10),
    ]


def test_a_kill_can_be_seen_although_it_takes_no_time() -> None:
    kill, last = timeline.faults(AXIS, [Fault("kill", "etcd@cp-1", 5, 5), Fault("kill", "etcd@cp-1", 10, 10)])
    assert kill.width > 0
    assert last.left + last.width <= 100


def test_a_fault_without_an_end_lasts_to_the_end() -> None:
    (bar,) = timeline.faults(AXIS, [Fault("stop", "etcd@cp-1", 4)])
    assert (bar.left, bar.width) == (40, 60)


@pytest.mark.parametrize("seconds", [0.5, 3, 9.7, 42, 100, 700, 4000])
def test_ticks_are_few_and_on_the_page(seconds: float) -> None:
    found = timeline.ticks(Axis(seconds))
    assert 1 <= len(found) <= timeline.MOST_TICKS + 1
    assert all(0 <= tick.left <= 100 for tick in found)


def test_columns_fit_under_the_top() -> None:
    rows = [ServiceRequest(n / 20, 2.0, "a", "" if n % 3 else "connection refused") for n in range(200)]
    chart = timeline.rate(AXIS, rows, "answered")
    assert chart.top == 20
    assert all(column.good + column.bad <= 100.1 for column in chart.columns)
    assert "20" in chart.columns[0].tooltip or "failed" in chart.columns[0].tooltip


def test_latency_has_a_gap_where_nothing_was_answered() -> None:
    rows = [ServiceRequest(at / 10, 3.0, "a", "connection refused" if 30 <= at < 60 else "") for at in range(100)]
    chart = timeline.latency(AXIS, rows)
    assert len(chart.p50) == len(chart.p99) == 2
    assert chart.top == 5


def test_lanes_are_in_the_order_of_first_answers() -> None:
    rows = [
        ServiceRequest(1, 2.0, "b", ""),
        ServiceRequest(2, 2.0, "a", ""),
        ServiceRequest(3, 2.0, "b", ""),
        ServiceRequest(4, 9.0, "", "reset"),
    ]
    lanes = timeline.lanes(AXIS, rows)
    assert lanes.names == ("b", "a")
    assert [(dot.left, dot.lane) for dot in lanes.dots] == [(10, 0), (20, 1), (30, 0)]
    assert lanes.failed == (40,)


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (0.03, 0.05), (1, 1), (11, 20), (51, 100)])
def test_nice(value: float, expected: float) -> None:
    assert timeline.nice(value) == pytest.approx(expected)
