"""Delays before something is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery.backoff import ExponentialBackoff, jittered

BACKOFF = ExponentialBackoff(0.1, 2.0)


@pytest.mark.parametrize(("failures", "longest"), [(0, 0.0), (1, 0.1), (2, 0.2), (5, 1.6), (6, 2.0), (10**9, 2.0)])
def test_the_longest_delay_doubles_up_to_the_cap(failures: int, longest: float) -> None:
    assert BACKOFF.longest(failures) == pytest.approx(longest)


@given(st.integers(0, 10**12), st.floats(0, 1))
def test_a_delay_is_at_least_half_of_the_longest(failures: int, drawn: float) -> None:
    longest = BACKOFF.longest(failures)
    assert longest / 2 <= BACKOFF.delay(failures, lambda: drawn) <= longest


def test_jitter_only_lengthens() -> None:
    assert [jittered(10.0, jitter=lambda at=at: at) for at in (0.0, 0.5, 1.0)] == [10.0, 12.5, 15.0]
    assert jittered(10.0, 0.04, lambda: 1.0) == 10.4
