"""Figures from a recording: windows, shares, percentiles, turns, outages."""

from __future__ import annotations

import pytest

from kubelab.chaos import measure
from kubelab.chaos.measure import NothingMeasured
from kubelab.chaos.recording import Fault, Recording, ServiceRequest


def asked(answers: str, *, every: float = 1.0) -> list[ServiceRequest]:
    """One request for each letter, a letter apart; ``x`` failed."""
    return [
        ServiceRequest(
            n * every, 10.0 + n, "" if letter == "x" else letter, "connection refused" if letter == "x" else ""
        )
        for n, letter in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("faults", "name", "expected"),
    [
        pytest.param([], "run", (0.0, 10.0), id="everything"),
        pytest.param([], "before", (0.0, 10.0), id="before, without a fault"),
        pytest.param([], "fault", (0.0, 10.0), id="the fault, without one"),
        pytest.param([], "after", (10.0, 10.0), id="after, without a fault"),
        pytest.param([(2, 5)], "before", (0.0, 2), id="before"),
        pytest.param([(2, 5)], "fault", (2, 5), id="the fault"),
        pytest.param([(2, 5)], "after", (5, 10.0), id="after"),
        pytest.param([(2, 5), (4, 7)], "fault", (2, 7), id="two faults that overlap are one window"),
        pytest.param([(2, 5), (4, None)], "fault", (2, 10.0), id="a fault that lasts"),
        pytest.param([(3, 3)], "fault", (3, 3), id="a kill is over at once"),
        pytest.param([(2, 5)], "4", (6.0, 10.0), id="the last seconds"),
        pytest.param([(2, 5)], "40", (0.0, 10.0), id="more seconds than there are"),
    ],
)
def test_windows(faults: list[tuple[float, float | None]], name: str, expected: tuple[float, float]) -> None:
    recording = Recording(faults=[Fault("stop", "etcd@cp-1", begin, end) for begin, end in faults])
    assert measure.window(recording, name, 10.0) == expected


def test_a_word_that_names_no_window_is_told_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r'unknown window "later"; there are: run, before, fault, after'):
        measure.window(Recording(), "later", 1.0)


@pytest.mark.parametrize(
    ("answers", "expected"), [("aaaa", 1.0), ("aaax", 0.75), ("xxxx", 0.0)], ids=["all", "most", "none"]
)
def test_success_share(answers: str, expected: float) -> None:
    assert measure.success_share(asked(answers)) == expected


def test_nothing_asked_is_no_success() -> None:
    with pytest.raises(NothingMeasured):
        measure.success_share([])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)], ids=["median", "p99", "worst", "best"]
)
def test_percentiles_are_of_the_nearest_rank(share: float, expected: float) -> None:
    assert measure.percentile([float(n) for n in range(100, 0, -1)], share) == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param("abcabcabc", 1.0, id="in turn"),
        pytest.param("abcabxcabc", 1.0, id="what failed is passed over"),
        pytest.param("aaaa", 1.0, id="one pod alone is always in turn"),
        pytest.param("abcabcbac", 0.5, id="two turns changed places"),
        pytest.param("aabbccaabbcc", 0.0, id="everybody twice"),
    ],
)
def test_turns(answers: str, expected: float) -> None:
    assert measure.round_robin(asked(answers)).in_turn == pytest.approx(expected, abs=0.17)


def test_turns_count_who_answered() -> None:
    assert measure.round_robin(asked("abcab")).answers == {"a": 2, "b": 2, "c": 1}


def test_requests_that_overlap_tell_no_turns() -> None:
    slow = [ServiceRequest(n * 0.05, 60.0, name, "") for n, name in enumerate("acbbac")]
    after = [ServiceRequest(1 + n * 0.05, 3.0, name, "") for n, name in enumerate("abcabc")]
    assert measure.round_robin([*slow, *after]).in_turn == 1.0
    with pytest.raises(NothingMeasured):
        measure.round_robin(slow)


def test_a_window_grows_until_its_answers_show_turns() -> None:
    looked: list[str] = []

    def requests(during: str) -> list[ServiceRequest]:
        looked.append(during)
        return asked("abcabc" if float(during) >= 3 else "abc")

    assert measure.turns("1", requests).in_turn == 1.0
    assert looked == ["1", "2.0", "3.0"]


@pytest.mark.parametrize(("during", "looks"), [("fault", 1), ("1", 15)])
def test_a_window_without_turns_does_not_grow_for_ever(during: str, looks: int) -> None:
    looked: list[str] = []

    def requests(during: str) -> list[ServiceRequest]:
        looked.append(during)
        return asked("abc")

    with pytest.raises(NothingMeasured):
        measure.turns(during, requests)
    assert len(looked) == looks


def test_too_few_answers_are_no_turns() -> None:
    with pytest.raises(NothingMeasured):
        measure.round_robin(asked("abc"))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param("aaaa", 0.0, id="none"),
        pytest.param("axxa", 2.0, id="from the first failure to the next answer"),
        pytest.param("axaxxxa", 3.0, id="the longest"),
        pytest.param("aaxxx", 2.0, id="it never came back"),
    ],
)
def test_outage(answers: str, expected: float) -> None:
    assert measure.outage(asked(answers)) == expected


def test_bins_keep_every_request() -> None:
    cut = measure.bins(asked("abxabx", every=0.5), 3.0, 1.0)
    assert [(b.good, b.bad) for b in cut] == [(2, 0), (1, 1), (1, 1)]
    assert [b.p50 for b in cut] == [10.0, 13.0, 14.0]


def test_a_bin_without_an_answer_has_no_latency() -> None:
    (first, second) = measure.bins(asked("x"), 2.0, 1.0)
    assert (first.good, first.bad, first.p50, first.p99) == (0, 1, None, None)
    assert (second.good, second.bad, second.p50) == (0, 0, None)
